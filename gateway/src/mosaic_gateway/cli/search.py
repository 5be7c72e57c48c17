"""``mosaic search``: the rows of this gateway and of its peers, from a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from mosaic_gateway.cli.shell import Shell, printable
from mosaic_hookspecs.errors import Invalid

if TYPE_CHECKING:
    from mosaic_gateway.boot import Gateway
    from mosaic_hookspecs.sources import Merged, Report
    from mosaic_hookspecs.types import User

_FIRST = ("source", "resource", "id")
_WIDEST = 6  # columns of a table
_PART, _NONE = 1, 5  # exit codes


@click.command(
    epilog="""
\b
Exit codes: 0 every source has answered · 1 some have not, or with old rows only · 5 none has.
What each source did stands on standard error.

\b
Examples:
  mosaic search 'launch -draft' --user lead
  mosaic search relaunch --peers
  mosaic search relaunch --sources local,peer:work --resource tasks --limit 5 --json
"""
)
@click.argument("words")
@click.option(
    "--user", "username", metavar="NAME", help="Through whose eyes. Default: the only user there is."
)
@click.option("--peers", is_flag=True, help="Search every peer too; short for --sources local,peer:*.")
@click.option("--sources", metavar="NAMES", help="Where to search, such as local,peer:work. Default: local.")
@click.option("--resource", "resources", multiple=True, metavar="NAME", help="Repeatable. Default: all.")
@click.option("--limit", type=int, help="Most rows to print.")
@click.option("--timeout", "within", type=click.FloatRange(0, 60, min_open=True), help="Seconds to wait.")
@click.option("--fresh", is_flag=True, help="Show nothing that was kept, also if a peer cannot be reached.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: items and sources.")
@click.pass_obj
def search(
    shell: Shell,
    words: str,
    username: str | None,
    peers: bool,
    sources: str | None,
    resources: tuple[str, ...],
    limit: int | None,
    within: float | None,
    fresh: bool,
    as_json: bool,
) -> None:
    """Search rows here, and at peers."""
    if peers and sources is not None:
        raise click.UsageError("--peers is short for --sources local,peer:*; give one of the two")
    names = "local,peer:*" if peers else sources or "local"
    params = {"q": words} | ({} if limit is None else {"limit": str(limit)})

    async def work(gateway: Gateway) -> Merged:
        from mosaic_hookspecs.sources import Asked

        user = await _user(gateway, username)
        asked = Asked(within or gateway.source_seconds, fresh)
        return await gateway.sources.search(user, resources or None, params, names, asked)

    found = shell.gateway(work)
    for report in found.sources:
        click.echo(_line(report), err=True)
    if as_json:
        told = {
            "items": [dict(row) for row in found.items],
            "sources": [asdict(one) for one in found.sources],
        }
        shell.record(told, as_json=True)
    else:
        columns = _columns(found.items)
        rows = [{name: row.get(name) for name in columns} for row in found.items]
        shell.table(rows, columns=columns, as_json=False, empty="nothing found")
    sys.exit(_code(found.sources))


async def _user(gateway: Gateway, name: str | None) -> User:
    if name is not None:
        return await gateway.identities.user(name)
    there = [account for account in await gateway.identities.users() if account.disabled_at is None]
    if len(there) != 1:
        raise Invalid(f"there are {len(there)} users here", remedy="say through whose eyes: --user NAME")
    return await gateway.identities.user(there[0].id)


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where a row is from, its id, and what it has of its own; of several resources, what the first has."""
    from mosaic_hookspecs.types import STANDARD_COLUMNS

    own = [name for name in (rows[0] if rows else ()) if name not in (*STANDARD_COLUMNS, *_FIRST, "rank")]
    return [*_FIRST, *own][:_WIDEST]


def _line(report: Report) -> str:
    age = f", {report.age_s:.0f} s old" if report.age_s else ""
    why = f": {report.detail}" if report.detail else ""
    remedy = f" → {report.remedy}" if report.remedy else ""
    told = f"{report.name}: {report.status}, {report.rows} rows{age}, {report.latency_ms:.0f} ms{why}{remedy}"
    return printable(told)


def _code(reports: Sequence[Report]) -> int:
    if all(report.status == "ok" for report in reports):
        return 0
    return _PART if any(report.status in {"ok", "stale"} for report in reports) else _NONE
