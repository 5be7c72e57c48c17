"""``mosaic federation list``, ``search`` and ``get``: a peer's rows."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from mosaic_federation.cli.shared import json_option, run, terminal

if TYPE_CHECKING:
    from mosaic_federation.reading.reader import Read
    from mosaic_hookspecs.protocols import Host

_WIDEST = 6  # columns of a table
_OLD = 1  # the exit code when what is shown is not what the peer says now

fresh_option = click.option(
    "--fresh", is_flag=True, help="Show nothing that was kept, also if the peer cannot be reached."
)


@click.command("list")
@click.argument("peer_name", metavar="PEER")
@click.argument("resource")
@click.option("--limit", type=int, help="Most rows to print.")
@click.option("--sort", metavar="FIELD", help="Field to sort by; -FIELD for the reverse.")
@click.option(
    "--filter", "filters", multiple=True, metavar="FIELD=VALUE", help="Repeatable; see the REST filters."
)
@click.option("--cursor", help="Go on where the page before ended.")
@fresh_option
@json_option
def list_rows(
    peer_name: str,
    resource: str,
    limit: int | None,
    sort: str | None,
    filters: tuple[str, ...],
    cursor: str | None,
    fresh: bool,
    as_json: bool,
) -> None:
    """List a peer's rows. While it cannot be reached, as it last told them.

    Exit codes: 0 the peer has answered · 1 the rows are old, which standard error says.

    \b
    Example:
      mosaic federation list work tasks --sort -created_at --filter status=open --limit 10
    """
    from mosaic_federation.answers import read_page

    given = {"limit": None if limit is None else str(limit), "sort": sort, "cursor": cursor}
    params = [(key, value) for key, value in given.items() if value is not None]
    params += [_filter(text) for text in filters]
    read = _ask(peer_name, resource, params=params, fresh=fresh)
    page = read_page(read.body, f"peer {peer_name!r}")
    columns = _columns(page.items)
    terminal().table(page.items, columns=columns, as_json=as_json, empty=f"{peer_name} shows no {resource}.")
    if page.next_cursor:
        click.echo(f"more: --cursor {page.next_cursor}", err=True)
    _end(read)


@click.command("search")
@click.argument("peer_name", metavar="PEER")
@click.argument("resource")
@click.argument("words")
@click.option("--limit", type=int, help="Most rows to print.")
@fresh_option
@json_option
def search_rows(
    peer_name: str, resource: str, words: str, limit: int | None, fresh: bool, as_json: bool
) -> None:
    """Search a peer's rows. While it cannot be reached, what it last found.

    Exit codes: 0 the peer has answered · 1 the rows are old, which standard error says.

    \b
    Example:
      mosaic federation search work tasks 'launch or relaunch' --limit 10
    """
    from mosaic_federation.answers import read_page

    params = [("q", words)] + ([] if limit is None else [("limit", str(limit))])
    read = _ask(peer_name, resource, "search", params=params, fresh=fresh)
    items = read_page(read.body, f"peer {peer_name!r}").items
    terminal().table(items, columns=_columns(items), as_json=as_json, empty=f"{peer_name} finds nothing.")
    _end(read)


@click.command("get")
@click.argument("peer_name", metavar="PEER")
@click.argument("resource")
@click.argument("row_id", metavar="ID")
@fresh_option
@json_option
def get_row(peer_name: str, resource: str, row_id: str, fresh: bool, as_json: bool) -> None:
    """Get one row of a peer. While it cannot be reached, as it last told it.

    Exit codes: 0 the peer has answered · 1 the row is old, which standard error says.

    \b
    Example:
      mosaic federation get work tasks 7d0c5f0e-8f0b-4b57-8d0e-2f1a0b6f3c21
    """
    from mosaic_federation.answers import read_row

    read = _ask(peer_name, resource, row_id, fresh=fresh)
    terminal().record(read_row(read.body, f"peer {peer_name!r}"), as_json=as_json)
    _end(read)


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    """What all rows have, the id and their own fields."""
    from mosaic_hookspecs.types import STANDARD_COLUMNS

    shared = [key for key in rows[0] if all(key in row for row in rows)] if rows else []
    return [key for key in shared if key == "id" or key not in STANDARD_COLUMNS][:_WIDEST]


def _ask(peer_name: str, *steps: str, params: list[tuple[str, str]] | None = None, fresh: bool) -> Read:
    from mosaic_federation.peers import Peers
    from mosaic_federation.reading.kept import Question
    from mosaic_federation.reading.reader import Reader

    async def work(host: Host) -> Read:
        found = await Peers(host.database).get(peer_name)
        return await Reader(host).read(Question(found, steps, params or ()), fresh=fresh, ask_first=True)

    return run(work)


def _end(read: Read) -> None:
    if read.why_old:
        click.echo(f"as it was {read.age:.0f} s ago: {read.why_old}", err=True)
        sys.exit(_OLD)


def _filter(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise click.BadParameter(f"{text!r}: expected FIELD=VALUE", param_hint="--filter")
    return name, value
