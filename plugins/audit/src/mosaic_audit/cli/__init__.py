"""``mosaic audit``: read the log of answers to peers, take it elsewhere, and check that nobody changed it."""

from __future__ import annotations

import click

from mosaic_audit.cli.files import export, retain
from mosaic_audit.cli.finding import query, tail
from mosaic_audit.cli.proving import checkpoint, key, verify


@click.group()
def audit() -> None:
    """Who asked what of this gateway, and what left it.

    \b
    Examples:
      mosaic audit tail --limit 20
      mosaic audit verify
    """


for command in (tail, query, export, key, checkpoint, verify, retain):
    audit.add_command(command)
