"""``mosaic federation ca``: set up the certificate authority of this gateway, and look at it."""

from __future__ import annotations

import json
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mosaic_hookspecs.protocols import CommandLine, Host
    from mosaic_step_ca.setting_up import SetUp
    from mosaic_step_ca.state import State

_START = "step-ca config/ca.json --password-file secrets/password"
_DIRECTORY = click.Path(path_type=Path, file_okay=False)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def ca() -> None:
    """The certificate authority that signs for this gateway: a step-ca."""


@ca.command(
    "init",
    epilog="""
\b
Examples:
  mosaic federation ca init /srv/ca --url https://ca.example.org:9000
  mosaic federation ca init ./ca --url https://localhost:9000 --dns 127.0.0.1 --address 127.0.0.1:9000
""",
)
@click.argument("directory", type=_DIRECTORY)
@click.option("--url", required=True, help="Where this gateway will reach it: https://HOST:PORT.")
@click.option(
    "--dns", multiple=True, metavar="NAME", help="A further DNS name or IP address it answers to; repeatable."
)
@click.option("--address", help="What it listens on, [HOST]:PORT. Default: the URL's port, on every address.")
@click.option("--root-dir", type=_DIRECTORY, help="Where the root's key goes. Default: DIRECTORY-root.")
@click.option("--replace", is_flag=True, help="Forget the keys of the authority this gateway had before.")
@json_option
def ca_init(
    directory: Path,
    url: str,
    dns: tuple[str, ...],
    address: str | None,
    root_dir: Path | None,
    replace: bool,
    as_json: bool,
) -> None:
    """Write a complete directory for step-ca, and keep the keys by which it will know this gateway.

    It signs what a token of this gateway asks for, and nothing else: the private keys of its provisioners are
    sealed in this gateway's database, and nowhere else. The root's key is written apart. Nothing that exists is
    overwritten, and the same command given again changes nothing.
    """
    from mosaic_step_ca.setting_up import set_up

    directory = directory.absolute()
    root_directory = root_dir.absolute() if root_dir else directory.with_name(f"{directory.name}-root")

    async def work(host: Host) -> tuple[str, SetUp]:
        plan = _plan(host, url, dns, address)
        return plan.url, await set_up(host, plan, directory, root_directory, replace=replace)

    origin, done = _terminal().run("step_ca", work)
    record = {
        "created": done.created,
        "directory": directory,
        "root_directory": root_directory,
        "url": origin,
        "fingerprint": done.fingerprint,
        "start": f"cd {quote(str(directory))} && {_START}",
    }
    _terminal().record(record, as_json=as_json)
    if not as_json:
        _say_what_is_next(record)


@ca.command("show", epilog="\b\nExample:\n  mosaic federation ca show --json")
@json_option
def ca_show(as_json: bool) -> None:
    """Ask the authority how it is: its root, how long its certificates last, its revocation list, its clock."""
    from mosaic_step_ca.state import state_of

    async def work(host: Host) -> dict[str, Any]:
        return _shown(await state_of(host))

    _terminal().record(_terminal().run("step_ca", work), as_json=as_json)


def _terminal() -> CommandLine:
    found: CommandLine = click.get_current_context().obj
    return found


def _plan(host: Host, url: str, dns: tuple[str, ...], address: str | None) -> Any:
    from yarl import URL

    from mosaic_hookspecs.certificates import host_name
    from mosaic_hookspecs.errors import Malformed
    from mosaic_step_ca.directory import Plan
    from mosaic_step_ca.settings import Settings, plain_https

    try:
        origin = URL(plain_https(url))
    except ValueError as error:
        raise Malformed(f"--url: {error}", remedy="for example https://ca.example.org:9000") from None
    names = dict.fromkeys((origin.host or "", *dns))
    for name in names:
        host_name(name)
    listen = address or f":{origin.port}"
    host_part, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or (":" in host_part and not host_part.startswith("[")):
        raise Malformed("--address: expected [HOST]:PORT", remedy="for example 127.0.0.1:9000")
    hours = host.settings(Settings).client_hours
    return Plan(host.gateway_name, str(origin), tuple(names), listen, hours)


def _say_what_is_next(record: dict[str, Any]) -> None:
    settings = json.dumps({"step_ca": {"url": record["url"], "fingerprint": record["fingerprint"]}})
    click.echo(
        f"""
Next:
1. In the config, under "plugins": {settings[1:-1]}
2. Start the authority, natively by the command above, or in a container with {record["directory"]}
   as /home/step (owned by user 1000 there, and that its working directory).
3. Take {record["root_directory"]} off this machine. Only a new intermediate needs it; who has it can
   stand in for every peer. Then `mosaic federation ca show`.""",
        err=True,
    )


def _shown(state: State) -> dict[str, Any]:
    from dataclasses import asdict

    shown = asdict(state) | {"clock": f"{state.clock.total_seconds():+.0f} s"}
    names = [f"{name}{'' if known else ' (unknown to it)'}" for name, known in state.provisioners.items()]
    return shown | {"provisioners": names}
