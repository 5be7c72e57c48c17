"""``mosaic audit tail`` and ``query``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from mosaic_audit.cli.options import as_json_option, filter_options
from mosaic_hookspecs.protocols import CommandLine, Host

if TYPE_CHECKING:
    from mosaic_audit.log import Filter

_ROW = ("at", "peer", "verb", "resource", "outcome", "rows", "bytes_out", "latency_us")
_EVERY = 1.0  # seconds between two looks of --follow


@click.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Rows to print.")
@click.option("--follow", is_flag=True, help="Go on printing rows as they come, until Ctrl-C.")
@filter_options
@as_json_option
@click.pass_obj
def tail(line: CommandLine, /, limit: int, follow: bool, as_json: bool, **wanted: Any) -> None:
    """Print the latest rows, oldest first. With --follow --json, one object a line.

    \b
    Examples:
      mosaic audit tail --limit 5 --json
      mosaic audit tail --follow --peer home
    """
    from mosaic_audit.log import Filter, latest, shown

    async def work(host: Host) -> list[dict[str, Any]]:
        rows = await latest(host.database, Filter(**wanted), limit)
        if follow:
            await _follow(host, Filter(**wanted), rows, as_json)
        if not rows:
            await _say_if_never(host, wanted["outcome"])
        return [shown(row) for row in rows]

    rows = line.run("audit", work)
    line.table(rows, columns=_ROW, as_json=as_json, empty="No such row.")


async def _follow(host: Host, wanted: Filter, rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Does not return."""
    import asyncio

    from mosaic_audit.log import Following, shown

    following = Following(host.database, wanted, rows[-1]["at"] if rows else datetime.now(UTC))
    for row in rows:
        following.saw(row)
    while True:
        for row in rows:
            click.echo(_one_line(shown(row), as_json))
        await asyncio.sleep(_EVERY)
        rows = await following.more()


def _one_line(row: Mapping[str, Any], as_json: bool) -> str:
    if as_json:
        return json.dumps(row, default=str)
    at, *rest = (row[column] for column in _ROW)
    text = "  ".join((at.isoformat(sep=" ", timespec="seconds"), *(str(each) or "-" for each in rest)))
    return "".join(c if c.isprintable() else "�" for c in text)  # what a peer named ends here


@click.command()
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Rows of a page."
)
@click.option("--after", metavar="PLACE", help="Go on after a page, from the place printed below it.")
@filter_options
@as_json_option
@click.pass_obj
def query(line: CommandLine, /, limit: int, after: str | None, as_json: bool, **wanted: Any) -> None:
    """Find rows, oldest first, page by page. Where the next page begins is printed on standard error.

    \b
    Examples:
      mosaic audit query --peer home --outcome forbidden --since 7d
      mosaic audit query --grant 5b0e8a52-0b1e-4f0e-9f3a-7c1d2e3f4a5b --json
    """
    from mosaic_audit.log import Filter, Place, page, shown

    try:
        place = Place.read(after) if after else None
    except ValueError:
        raise click.BadParameter("give what an earlier page printed", param_hint="--after") from None

    async def work(host: Host) -> list[Mapping[str, Any]]:
        rows = await page(host.database, Filter(**wanted), limit, place)
        if not rows:
            await _say_if_never(host, wanted["outcome"])
        return rows

    rows = line.run("audit", work)
    line.table([shown(row) for row in rows], columns=_ROW, as_json=as_json, empty="No such row.")
    if len(rows) == limit:
        click.echo(f"next page: --after {Place.of(rows[-1])}", err=True)


async def _say_if_never(host: Host, outcome: str | None) -> None:
    """One that is misspelt finds nothing, which is no all-clear. None is refused: a peer's code may be of its own."""
    from mosaic_audit.log import Filter, page

    if outcome is not None and not await page(host.database, Filter(outcome=outcome), 1):
        click.echo(f"no row of the log has the outcome {outcome!r}", err=True)
