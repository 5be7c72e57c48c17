"""``mosaic audit reconcile`` and ``witness``: added to the commands of whatever plugin keeps the audit log."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from mosaic_federation.cli.shared import json_option, run, terminal

if TYPE_CHECKING:
    from mosaic_federation.mutual.reconciling import Reconciled
    from mosaic_hookspecs.protocols import Host

_COLUMNS = ("kind", "at", "request_id", "verb", "resource", "what")
_DIFFERENT = 1  # the exit code
_AGO = re.compile(r"([1-9][0-9]{0,3})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def _moment(_context: click.Context, _option: click.Parameter, text: str) -> datetime:
    if match := _AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter("give 2026-11-22, 2026-11-22T10:00, or 12h for 12 hours ago") from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


@click.command()
@click.argument("peer_name", metavar="PEER")
@click.option(
    "--since", callback=_moment, default="24h", show_default=True,
    help="Answers from then on: 2026-11-22, 2026-11-22T10:00 (UTC), or 12h ago.",
)  # fmt: skip
@click.option(
    "--tolerance", type=click.IntRange(0, 3600), default=30, show_default=True,
    help="Answers of the last so many seconds may be under way: what one side has of them may be missing.",
)  # fmt: skip
@json_option
def reconcile(peer_name: str, since: datetime, tolerance: int, as_json: bool) -> None:
    """Compare what PEER says it answered us with what we have on record, and its checkpoints with those of before.

    \b
    Prints one line for each difference:
      lost         it answered, and the answer never came here
      only-theirs  it answered, and we have no record of asking
      only-ours    we were answered, and it has no record of that
      differs      both have a record, and they disagree
      head         its log was cut, rewritten, or signed with another key

    Exit codes: 0 both records agree · 1 they do not.

    \b
    Examples:
      mosaic audit reconcile work
      mosaic audit reconcile work --since 7d --json
    """
    from mosaic_federation.mutual.reconciling import reconcile as compare
    from mosaic_federation.peers import Peers

    async def work(host: Host) -> Reconciled:
        peer = await Peers(host.database).get(peer_name)
        return await compare(host, peer, since=since, tolerance=timedelta(seconds=tolerance))

    found = run(work)
    rows = [_shown(asdict(each)) for each in found.differences]
    if as_json:
        terminal().record({**asdict(found), "differences": rows}, as_json=True)
    else:
        terminal().table(rows, columns=_COLUMNS, as_json=False, empty="Both records agree.")
        head = f"checkpoint {found.head} of {peer_name}'s log" if found.head else "no checkpoint yet"
        click.echo(f"{found.agreed} answers on both sides; {head}", err=True)
    if rows:
        click.get_current_context().exit(_DIFFERENT)


@click.command()
@click.argument("peer_name", metavar="PEER")
@json_option
def witness(peer_name: str, as_json: bool) -> None:
    """Print the latest checkpoint that gateway PEER has told us of its audit log.

    On PEER, `mosaic audit verify --checkpoint` takes it: so its log is held to what it has said.

    \b
    Example:
      mosaic audit witness work --json > checkpoint.json
    """
    from mosaic_federation.mutual.witness import latest_of

    async def work(host: Host) -> dict[str, Any]:
        return await latest_of(host.database, peer_name)

    terminal().record(run(work), as_json=as_json)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "at": row["at"].isoformat() if row["at"] else ""}
