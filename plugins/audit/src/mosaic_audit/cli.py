"""``mosaic audit``: read the log of answers to peers, and check that nobody changed it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from mosaic_hookspecs.protocols import CommandLine, Host

_TAIL = ("at", "peer", "verb", "resource", "outcome", "rows", "bytes_out", "latency_us")
_VERIFY = ("stream", "rows", "first", "last", "broken_at", "problem")

_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")


@click.group()
def audit() -> None:
    """Who asked what of this gateway, and what left it.

    \b
    Examples:
      mosaic audit tail --limit 20
      mosaic audit verify
    """


@audit.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Rows to print.")
@_json
@click.pass_context
def tail(context: click.Context, limit: int, as_json: bool) -> None:
    """Print the latest rows, oldest first.

    \b
    Example:
      mosaic audit tail --limit 5 --json
    """
    from mosaic_audit import log

    async def work(host: Host) -> list[dict[str, Any]]:
        return await log.tail(host.database, limit)

    line: CommandLine = context.obj
    line.table(
        line.run("audit", work), columns=_TAIL, as_json=as_json, empty="No answer has left this gateway yet."
    )


@audit.command()
@_json
@click.pass_context
def verify(context: click.Context, as_json: bool) -> None:
    """Recompute the hash chains; exit 1 if one is broken, and say where.

    \b
    Example:
      mosaic audit verify --json
    """
    from mosaic_audit import log

    async def work(host: Host) -> list[log.Report]:
        return await log.verify(host.database)

    line: CommandLine = context.obj
    reports = line.run("audit", work)
    rows = [asdict(report) for report in reports]
    line.table(rows, columns=_VERIFY, as_json=as_json, empty="The audit log is empty.")
    if any(report.broken_at is not None for report in reports):
        context.exit(1)
