"""``mosaic gateway prepare``: what a container runs before it starts the gateway."""

from __future__ import annotations

import click

from mosaic_gateway.cli.shell import Shell


@click.command(
    epilog="""
\b
Examples:
  mosaic gateway prepare && mosaic gateway start
"""
)
@click.pass_obj
def prepare(shell: Shell) -> None:
    """Make the data directory and its keys for a config that is there already.

    Does nothing where they exist. The first admin then comes from `mosaic user add --admin`.
    """
    from mosaic_gateway.boot import prepare_data_dir

    prepare_data_dir(shell.composition.config.data_dir)
