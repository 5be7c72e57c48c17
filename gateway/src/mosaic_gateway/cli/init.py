"""``mosaic gateway init``: a config, a data directory, and the first admin."""

from __future__ import annotations

import json
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from mosaic_gateway.cli.shell import Shell
from mosaic_hookspecs.errors import ConfigError, Conflict, Malformed

if TYPE_CHECKING:
    from mosaic_gateway.boot import Gateway

_FILE = click.Path(path_type=Path, dir_okay=False)
#: What a new gateway of each tier loads beside what its tier brings.
_PLUGINS = {
    "local": ("workspace", "audit", "federation"),
    "standalone": ("workspace",),
    "federated": ("workspace", "federation"),
}
_AUTHORITIES = {"local": "embedded_ca", "federated": "step_ca"}  # unless --authority names another


@click.command(
    epilog="""
\b
Examples:
  mosaic gateway init
  mosaic gateway init ~/work --name work --port 8081 --federation-port 8444
  mosaic gateway init /srv/team --tier standalone --storage-password-file /run/secrets/db \\
    --storage-url 'postgresql://mosaic@db.example.org/mosaic?sslmode=verify-full'
  MOSAIC_STORAGE__URL=... mosaic gateway init /srv/team --tier standalone
  mosaic gateway init /srv/work --tier federated     then: mosaic federation ca init --help
"""
)
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("--tier", type=click.Choice(list(_PLUGINS)), default="local", show_default=True)
@click.option("--name", help="What peers see this gateway called. Default: the directory's name.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where data lives. Default: ./data")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Public port.")
@click.option(
    "--federation-port",
    type=click.IntRange(1, 65535),
    default=8443,
    show_default=True,
    help="Port for peers, where the tier has them.",
)
@click.option("--storage-url", help="Where Postgres is; without a password. Default: the tier's.")
@click.option("--storage-password-file", type=_FILE, help="File with the password for Postgres.")
@click.option("--queue-url", help="Where Valkey is; without a password. Default: the tier's.")
@click.option("--queue-password-file", type=_FILE, help="File with the password for Valkey.")
@click.option("--plugin", "plugins", multiple=True, help="A further plugin to load; may be given again.")
@click.option(
    "--authority",
    help="Plugin of the certificate authority. Default: embedded_ca (local), step_ca (federated).",
)
@click.option("--admin", default="admin", show_default=True, help="Name of the first user.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def init(
    shell: Shell,
    directory: Path,
    tier: str,
    name: str | None,
    data_dir: Path | None,
    port: int,
    federation_port: int,
    storage_url: str | None,
    storage_password_file: Path | None,
    queue_url: str | None,
    queue_password_file: Path | None,
    plugins: tuple[str, ...],
    authority: str | None,
    admin: str,
    as_json: bool,
) -> None:
    """Write a config, make the data directory and the first admin with a token.

    The token is shown once. Nothing that exists is overwritten, and a database with users is refused.
    """
    signing = authority or _AUTHORITIES.get(tier)
    wanted = (*_PLUGINS[tier], *((signing,) if signing else ()), *plugins)
    tables: dict[str, Any] = {plugin: {} for plugin in wanted}
    if "federation" in tables:
        tables["federation"] = {"listen": {"port": federation_port}}
    config = {
        "tier": tier,
        "name": name or _name_of(directory),
        "data_dir": str(data_dir) if data_dir else "data",
        "listen": {"public": {"port": port}},
        "storage": service_table("--storage", storage_url, storage_password_file),
        "queue": service_table("--queue", queue_url, queue_password_file),
        "plugins": tables,
    }
    path = _write_config(directory, {key: value for key, value in config.items() if value})
    try:
        secret = _first_admin(Shell(path, debug=shell.debug), admin)
    except BaseException:
        path.unlink()  # so that the same command can be given again
        raise
    following = f"mosaic --config {quote(str(path))} gateway start"
    if signing == "step_ca":
        where = quote(str(directory / "ca"))
        following = (
            f"mosaic --config {quote(str(path))} federation ca init {where} --url https://localhost:9000"
        )
    shell.record({"config": path, "admin": admin, "token": secret, "next": following}, as_json=as_json)


def service_table(option: str, url: str | None, password_file: Path | None) -> dict[str, str]:
    """The table of a service. A password in the list of processes would be everybody's."""
    if url and ":" in url.partition("://")[2].rpartition("@")[0]:
        raise Malformed(
            f"{option}-url: a password on the command line can be read by every user of this machine",
            remedy=f"put it into a file and name that with {option}-password-file",
        )
    table = {"url": url, "password_file": str(password_file.absolute()) if password_file else None}
    return {key: value for key, value in table.items() if value}


def _name_of(directory: Path) -> str:
    cleaned = "".join(c if c.isalnum() and c.isascii() else "-" for c in directory.resolve().name.lower())
    return cleaned.strip("-")[:63] or "gateway"


def _write_config(directory: Path, config: dict[str, Any]) -> Path:
    from mosaic_gateway.config import CONFIG_NAMES

    for existing in (directory / name for name in CONFIG_NAMES):
        if existing.exists():
            raise Conflict(f"{existing} exists already", remedy="choose another directory, or edit that file")
    path = directory / CONFIG_NAMES[0]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:  # never over one that another init has just written
            file.write(json.dumps(config, indent=2) + "\n")
    except FileExistsError:
        raise Conflict(
            f"{path} exists already", remedy="choose another directory, or edit that file"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}", remedy="choose another directory"
        ) from None
    return path


def _first_admin(shell: Shell, username: str) -> str:
    from datetime import timedelta

    from mosaic_gateway.boot import prepare_data_dir

    _ = shell.composition.listeners  # raises if two are to have one address: no start would mend that
    prepare_data_dir(shell.composition.config.data_dir)

    async def work(gateway: Gateway) -> str:
        if await gateway.identities.users():
            raise Conflict(
                "the database belongs to a gateway already: it has users",
                remedy="name an empty database, or run that gateway with its own config and key file",
            )
        await gateway.identities.add_user(username, admin=True)
        token = await gateway.identities.create_token(username, name="first", expires_in=timedelta(days=90))
        return token.secret

    return shell.gateway(work)
