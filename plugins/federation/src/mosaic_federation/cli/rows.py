"""``mosaic federation list`` and ``get``: a peer's rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mosaic_federation.cli.shared import json_option, run, terminal
from mosaic_hookspecs.types import STANDARD_COLUMNS

if TYPE_CHECKING:
    from mosaic_hookspecs.protocols import Host

_WIDEST = 6  # columns of a table


@click.command("list")
@click.argument("peer_name", metavar="PEER")
@click.argument("resource")
@click.option("--limit", type=int, help="Most rows to print.")
@click.option("--sort", metavar="FIELD", help="Field to sort by; -FIELD for the reverse.")
@click.option(
    "--filter", "filters", multiple=True, metavar="FIELD=VALUE", help="Repeatable; see the REST filters."
)
@click.option("--cursor", help="Go on where the page before ended.")
@json_option
def list_rows(
    peer_name: str,
    resource: str,
    limit: int | None,
    sort: str | None,
    filters: tuple[str, ...],
    cursor: str | None,
    as_json: bool,
) -> None:
    """List a peer's rows.

    \b
    Example:
      mosaic federation list work tasks --sort -created_at --filter status=open --limit 10
    """
    from mosaic_federation.answers import read_page

    given = {"limit": None if limit is None else str(limit), "sort": sort, "cursor": cursor}
    params = [(key, value) for key, value in given.items() if value is not None]
    params += [_filter(text) for text in filters]
    page = read_page(_ask(peer_name, resource, params=params), f"peer {peer_name!r}")
    columns = _columns(page.items)
    terminal().table(page.items, columns=columns, as_json=as_json, empty=f"{peer_name} shows no {resource}.")
    if page.next_cursor:
        click.echo(f"more: --cursor {page.next_cursor}", err=True)


@click.command("get")
@click.argument("peer_name", metavar="PEER")
@click.argument("resource")
@click.argument("row_id", metavar="ID")
@json_option
def get_row(peer_name: str, resource: str, row_id: str, as_json: bool) -> None:
    """Get one row of a peer.

    \b
    Example:
      mosaic federation get work tasks 7d0c5f0e-8f0b-4b57-8d0e-2f1a0b6f3c21
    """
    from mosaic_federation.answers import read_row

    row = read_row(_ask(peer_name, resource, row_id), f"peer {peer_name!r}")
    terminal().record(row, as_json=as_json)


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    """What all rows have, the id and their own fields."""
    shared = [key for key in rows[0] if all(key in row for row in rows)] if rows else []
    return [key for key in shared if key == "id" or key not in STANDARD_COLUMNS][:_WIDEST]


def _ask(peer_name: str, *steps: str, params: list[tuple[str, str]] | None = None) -> bytes:
    from mosaic_federation.links import links_of
    from mosaic_federation.peers import Peers

    async def work(host: Host) -> bytes:
        found = await Peers(host.database).get(peer_name)
        return await links_of(host).get(found, *steps, params=params or ())

    return run(work)


def _filter(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise click.BadParameter(f"{text!r}: expected FIELD=VALUE", param_hint="--filter")
    return name, value
