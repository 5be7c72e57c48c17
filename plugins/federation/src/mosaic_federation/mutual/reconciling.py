"""Join what we have on record of our questions to a peer with what it has on record of its answers."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from mosaic_federation.asked import NO_ANSWER
from mosaic_federation.mutual.asking import exchange, rows_of_peer
from mosaic_federation.mutual.words import SharedRow, shared_row
from mosaic_federation.peers import Peer
from mosaic_hookspecs.errors import Conflict, MosaicError, TooMany, Unavailable
from mosaic_hookspecs.protocols import Host

Kind = Literal["lost", "only-theirs", "only-ours", "differs", "head"]

_EDGE = timedelta(minutes=10)  # one side's row may be of before, and the other's not
_COMPARED = ("verb", "resource", "query_hash", "outcome", "rows", "bytes_out", "serial", "trace_id")
# A gateway that is too busy, or cannot write its log, refuses without a row; of many 429s it keeps some.
_FAULTS = {Unavailable.code, MosaicError.code}


@dataclass(frozen=True, slots=True)
class Difference:
    """One answer on which the two records do not agree, or ``head``: the peer's log is not what it was."""

    kind: Kind
    what: str
    at: datetime | None = None
    request_id: str = ""
    trace_id: str = ""
    verb: str = ""
    resource: str = ""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What came of it."""

    since: datetime
    until: datetime  # what is later may be under way
    agreed: int
    differences: Sequence[Difference]
    head: int | None  # number of the peer's latest checkpoint, if it has one and stands by those before


async def reconcile(host: Host, peer: Peer, *, since: datetime, tolerance: timedelta) -> Reconciled:
    """Compare both records. Raises what :func:`exchange` does, but for what it is about."""
    until = datetime.now(UTC) - tolerance
    found: list[Difference] = []
    head = None
    try:
        head = await exchange(host, peer)
    except Conflict as conflict:
        found.append(Difference("head", conflict.detail))
    start = since - _EDGE
    theirs = [row async for row in rows_of_peer(host, peer, start)]
    ours = [
        row
        async for each in host.audit_log().rows_of(peer.grant_id, since=start, direction="asked")
        if json.loads(each.payload)["peer"] == peer.name and (row := shared_row(each.payload))
    ]
    joined = list(join(ours, theirs))
    found += [each for each in joined if each and each.at and since <= each.at < until]
    return Reconciled(since, until, joined.count(None), found, head)


def join(ours: Iterable[SharedRow], theirs: Iterable[SharedRow]) -> Iterator[Difference | None]:
    """None for each pair that agrees. A request id may have several rows: a client may send one twice."""
    both: dict[str, tuple[list[SharedRow], list[SharedRow]]] = defaultdict(lambda: ([], []))
    for row in ours:
        both[row.request_id][0].append(row)
    for row in theirs:
        both[row.request_id][1].append(row)
    for asked, answered in both.values():
        yield from _of_one_request(asked, answered)


def _of_one_request(asked: list[SharedRow], answered: list[SharedRow]) -> Iterator[Difference | None]:
    left, theirs = [], list(answered)
    for ours in asked:
        same = next((row for row in theirs if not _unlike(ours, row)), None)
        if same is None:
            left.append(ours)
        else:
            theirs.remove(same)
            yield None
    for ours in left:
        if theirs:
            yield _unequal(ours, theirs.pop(_nearest(ours, theirs)))
        elif ours.outcome not in {NO_ANSWER, TooMany.code, *_FAULTS}:
            yield _difference("only-ours", ours, f"we were answered {_told(ours)}; it has no record of that")
    for row in theirs:
        yield _difference("only-theirs", row, f"it answered {_told(row)}; we have no record of asking")


def _nearest(ours: SharedRow, theirs: Sequence[SharedRow]) -> int:
    return min(range(len(theirs)), key=lambda place: len(_unlike(ours, theirs[place])))


def _unequal(ours: SharedRow, theirs: SharedRow) -> Difference:
    if ours.outcome == NO_ANSWER:
        return _difference("lost", theirs, f"it answered {_told(theirs)}; the answer never came here")
    names = ", ".join(
        f"{name} {getattr(ours, name)!r} here, {getattr(theirs, name)!r} there"
        for name in _unlike(ours, theirs)
    )
    return _difference("differs", ours, names)


def _unlike(ours: SharedRow, theirs: SharedRow) -> list[str]:
    """Fields that do not agree."""
    if ours.outcome in _FAULTS and theirs.outcome in _FAULTS:
        return []
    return [name for name in _COMPARED if getattr(ours, name) != getattr(theirs, name)]


def _told(row: SharedRow) -> str:
    return f"{row.outcome}, {row.rows} rows" if row.outcome == "ok" else row.outcome


def _difference(kind: Kind, row: SharedRow, what: str) -> Difference:
    return Difference(kind, what, row.at, row.request_id, row.trace_id, row.verb, row.resource)
