"""``mosaic``: the top of the command line, and the one place where errors become exit codes."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import NoReturn

import click

from mosaic_gateway.cli.logs import redact_last_resort
from mosaic_gateway.cli.shell import Shell, printable_lines
from mosaic_gateway.installed import offered
from mosaic_hookspecs.errors import ConfigError, MosaicError
from mosaic_hookspecs.redaction import redact

_OWN = {
    "gateway": "mosaic_gateway.cli.gateway:gateway",
    "user": "mosaic_gateway.cli.people:user",
    "team": "mosaic_gateway.cli.people:team",
    "token": "mosaic_gateway.cli.people:token",
    "data": "mosaic_gateway.cli.data:data",
    "index": "mosaic_gateway.cli.index:index",
    "jobs": "mosaic_gateway.cli.jobs:jobs",
    "search": "mosaic_gateway.cli.search:search",
    "plugins": "mosaic_gateway.cli.plugins:plugins",
    "secrets": "mosaic_gateway.cli.secrets:secrets",
    "storage": "mosaic_gateway.cli.storage:storage",
    "completion": "mosaic_gateway.cli.completion:completion",
}
_ALIASES = {"plugin": "plugins"}
_INTERRUPTED = 130  # as shells count it: 128 + SIGINT
_COLOUR = False if os.environ.get("NO_COLOR") else None  # no-color.org; None: where there is a terminal


class Commands(click.Group):
    """A group whose members are ``module:attribute`` targets: the host's own, and the plugins'."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names, sorted."""
        return sorted(name for name in {*_OWN, *_plugin_commands()} if "." not in name)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command; a group with what other plugins add to it, such as ``federation.ca``."""
        cmd_name = _ALIASES.get(cmd_name, cmd_name)
        offers = _plugin_commands()
        own = _OWN.get(cmd_name)
        targets = (own,) if own else offers.get(cmd_name)
        if targets is None or "." in cmd_name:
            return None
        command = _imported(cmd_name, targets)
        if isinstance(command, click.Group):
            for name, further in offers.items():
                if name.startswith(f"{cmd_name}."):
                    command.add_command(_imported(name, further), name.removeprefix(f"{cmd_name}."))
        return command


def _imported(name: str, targets: tuple[str, ...]) -> click.Command:
    """The command; where a plugin's cannot be had, one that says so: all others are of use without it."""
    if len(targets) > 1:
        return _absent(name, f"it is offered more than once: {', '.join(targets)}")
    module, attribute = targets[0].split(":")
    try:
        command: click.Command = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        if name in _OWN:
            raise
        return _absent(name, f"{module} does not load ({type(error).__name__}: {error})")
    return command


def _absent(name: str, why: str) -> click.Command:
    def refuse(**_: object) -> NoReturn:
        raise ConfigError(
            f"the command {name.replace('.', ' ')!r} of a plugin cannot be used: {why}",
            remedy="upgrade, reinstall or uninstall the plugin",
        )

    anything = click.Argument(["anything"], nargs=-1, type=click.UNPROCESSED)
    settings = {"ignore_unknown_options": True}
    help_ = f"Cannot be used: {_safe(why)}"
    return click.Command(
        name,
        callback=refuse,
        params=[anything],
        short_help=help_,
        context_settings=settings,
        add_help_option=False,
    )


def _plugin_commands() -> dict[str, tuple[str, ...]]:
    points = sorted(offered("mosaic.commands"))
    return {
        name: tuple(dict.fromkeys(p.value for p in points if p.name == name))
        for name in {p.name for p in points}
    }


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100, "color": _COLOUR},
    epilog="""
\b
Examples:
  mosaic gateway init              write a config and a data directory here
  mosaic gateway start             serve until Ctrl-C
  mosaic data import tasks my.csv --user lead
  mosaic federation grant create --subject lead --peer partner --resource tasks --personal

\b
Exit codes: 0 done · 1 failed · 2 wrong input · 3 wrong configuration · 4 refused or not found ·
5 something needed is not available · 130 interrupted. The doctor: 0 green · 1 yellow · 2 red.
""",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="MOSAIC_CONFIG",
    help="Config file. Default: mosaic.config.{json,toml,yaml} in this directory.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error.")
@click.version_option(package_name="mosaic-gateway", prog_name="mosaic")
@click.pass_context
def mosaic(ctx: click.Context, config: Path | None, debug: bool) -> None:
    """Share just the right rows with other organisations."""
    ctx.obj = Shell(config, debug=debug)


def main() -> NoReturn:
    """Run a command and exit with its code."""
    warnings.filterwarnings("default", category=DeprecationWarning, module="mosaic_")
    warnings.formatwarning = lambda message, *_args, **_kwargs: f"warning: {_safe(str(message))}\n"
    redact_last_resort()
    try:
        code = mosaic.main(prog_name="mosaic", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except MosaicError as error:
        click.echo(
            f"{click.style('error', fg='red', bold=True)}: {_safe(str(error))}", err=True, color=_COLOUR
        )
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        code = _INTERRUPTED
    except Exception as error:
        code = _unexpected(error)
    sys.exit(code if isinstance(code, int) else 0)


def _safe(text: str) -> str:
    """Without secrets, and without what a terminal obeys: a server may have said some of it."""
    return printable_lines(redact(text))


def _unexpected(error: Exception) -> int:
    if "--debug" in sys.argv:
        click.echo(_safe("".join(traceback.format_exception(error))), err=True)
    elif isinstance(error, OSError) and error.strerror:  # such as a full disk behind standard output
        click.echo(f"error: {error.strerror}; run again as `mosaic --debug …` to see where", err=True)
    else:
        click.echo(
            f"internal error: {type(error).__name__}; run again as `mosaic --debug …` to see where", err=True
        )
    return 1
