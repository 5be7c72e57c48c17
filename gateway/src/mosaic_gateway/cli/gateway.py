"""``mosaic gateway``: its groups and commands."""

from __future__ import annotations

import click

from mosaic_gateway.cli.config import config
from mosaic_gateway.cli.doctor import doctor
from mosaic_gateway.cli.init import init
from mosaic_gateway.cli.prepare import prepare
from mosaic_gateway.cli.shell import Shell

LOG_LEVELS = click.Choice(["debug", "info", "warning", "error"])


@click.group()
def gateway() -> None:
    """Set up, run and examine a gateway."""


gateway.add_command(init)
gateway.add_command(prepare)
gateway.add_command(config)
gateway.add_command(doctor)


@gateway.command(
    epilog="""
\b
Examples:
  mosaic gateway start
  mosaic --config /etc/mosaic/mosaic.config.json gateway start --workers 2
"""
)
@click.option("--workers", type=click.IntRange(1, 64), help="Worker processes; overrides the config.")
@click.option("--log-level", type=LOG_LEVELS, help="What to log on standard error; overrides the config.")
@click.pass_obj
def start(shell: Shell, workers: int | None, log_level: str | None) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what is running and stop."""
    from mosaic_gateway.cli.logs import log_to_stderr
    from mosaic_gateway.cli.start import serve_gateway

    level = log_level or shell.composition.config.log_level
    log_to_stderr(level)
    serve_gateway(shell, workers or shell.composition.config.workers, level)


@gateway.command(hidden=True)
@click.option("--log-level", type=LOG_LEVELS, required=True)
@click.pass_obj
def worker(shell: Shell, log_level: str) -> None:
    """Serve on inherited sockets; started by `gateway start --workers`."""
    from mosaic_gateway.cli.logs import log_to_stderr
    from mosaic_gateway.cli.start import serve_worker

    log_to_stderr(log_level)
    serve_worker(shell)
