"""``mosaic gateway``: init, start, doctor."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mosaic_gateway.cli.shell import Shell
from mosaic_hookspecs.errors import ConfigError, Conflict, MosaicError

if TYPE_CHECKING:
    from mosaic_gateway.boot import Gateway
    from mosaic_gateway.health import Report

_COLOURS = {"green": "green", "yellow": "yellow", "red": "red"}
_EXIT = {"green": 0, "yellow": 1, "red": 2}


@click.group()
def gateway() -> None:
    """Set up, run and examine a gateway."""


@gateway.command(
    epilog="""
\b
Examples:
  mosaic gateway init
  mosaic gateway init ~/work --name work --port 8081 --federation-port 8444
"""
)
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("--name", help="What peers see this gateway called. Default: the directory's name.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where data lives. Default: ./data")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Public port.")
@click.option(
    "--federation-port",
    type=click.IntRange(1, 65535),
    default=8443,
    show_default=True,
    help="Port for peers.",
)
@click.option("--admin", default="admin", show_default=True, help="Name of the first user.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def init(
    shell: Shell,
    directory: Path,
    name: str | None,
    data_dir: Path | None,
    port: int,
    federation_port: int,
    admin: str,
    as_json: bool,
) -> None:
    """Write a config, make the data directory and the first admin with a token.

    The token is shown once. Nothing that exists is overwritten.
    """
    config = {
        "tier": "local",
        "name": name or _name_of(directory),
        "data_dir": str(data_dir) if data_dir else "data",
        "listen": {"public": {"port": port}},
        "plugins": {
            "workspace": {},
            "audit": {},
            "embedded_ca": {},
            "federation": {"listen": {"port": federation_port}},
        },
    }
    path = _write_config(directory, config)
    try:
        secret = _first_admin(Shell(path, debug=shell.debug), admin)
    except BaseException:
        path.unlink()  # so that the same command can be given again
        raise
    following = f"mosaic --config {path} gateway start"
    shell.record({"config": path, "admin": admin, "token": secret, "next": following}, as_json=as_json)


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
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}", remedy="choose another directory"
        ) from None
    return path


def _first_admin(shell: Shell, username: str) -> str:
    from datetime import timedelta

    from mosaic_gateway.boot import prepare_data_dir

    prepare_data_dir(shell.composition.config.data_dir)

    async def work(gateway: Gateway) -> str:
        await gateway.identities.add_user(username, admin=True)
        token = await gateway.identities.create_token(username, name="first", expires_in=timedelta(days=90))
        return token.secret

    return shell.gateway(work)


@gateway.command(
    epilog="""
\b
Examples:
  mosaic gateway start
  mosaic --config /etc/mosaic/mosaic.config.json gateway start --workers 2
"""
)
@click.option("--workers", type=click.IntRange(1, 64), help="Worker processes; overrides the config.")
@click.pass_obj
def start(shell: Shell, workers: int | None) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what is running and stop."""
    from mosaic_gateway.cli.start import serve_gateway

    serve_gateway(shell, workers or shell.composition.config.workers)


@gateway.command(hidden=True)
@click.pass_obj
def worker(shell: Shell) -> None:
    """Serve on inherited sockets; started by `gateway start --workers`."""
    from mosaic_gateway.cli.start import serve_worker

    serve_worker(shell)


@gateway.command(
    epilog="""
\b
Examples:
  mosaic gateway doctor
  mosaic gateway doctor --json | jq .status
"""
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def doctor(shell: Shell, as_json: bool) -> None:
    """Examine the gateway, running or not. Exit code: 0 green, 1 yellow, 2 red."""
    from mosaic_gateway.health import worst

    report = _examine(shell)
    status = worst(report)
    if as_json:
        findings = [
            {"probe": name, "status": f.status, "detail": f.detail, "remedy": f.remedy} for name, f in report
        ]
        click.echo(json.dumps({"status": status, "findings": findings}, indent=2, ensure_ascii=False))
    else:
        for name, finding in report:
            status_text = click.style(f"{finding.status:<6}", fg=_COLOURS[finding.status])
            click.echo(f"{status_text}  {name:<16}  {finding.detail}")
            if finding.remedy:
                click.echo(f"{'':<26}→ {finding.remedy}")
        click.echo(f"overall: {click.style(status, fg=_COLOURS[status], bold=True)}")
    sys.exit(_EXIT[status])


def _examine(shell: Shell) -> Report:
    """A gateway that cannot even be opened is a finding too."""
    from mosaic_gateway.health import examine
    from mosaic_hookspecs.types import Finding

    stage = "configuration"
    try:
        data_dir = shell.composition.config.data_dir
        tier = shell.composition.tier
        plugins = ", ".join(p.name for p in shell.composition.registry.plugins)
        fine = [(stage, Finding("green", f"tier {tier.name}; plugins {plugins}"))]
        stage = "start"
        return fine + shell.gateway(lambda gateway: examine(data_dir, gateway.probes))
    except MosaicError as error:
        return [(stage, Finding("red", "; ".join([error.detail, *map(str, error.faults)]), error.remedy))]
