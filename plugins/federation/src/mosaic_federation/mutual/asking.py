"""Mutual audit as the gateway that is shared with: exchange checkpoints, and fetch the peer's rows of our grant."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from mosaic_federation.links import links_of
from mosaic_federation.peers import Peer, Peers
from mosaic_hookspecs.errors import MosaicError, NotFound, TooMany, Unavailable
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import Job

if TYPE_CHECKING:
    from mosaic_federation.mutual.witness import Witness
    from mosaic_federation.mutual.words import SharedRow

M = TypeVar("M", bound=BaseModel)

log = logging.getLogger("mosaic.federation")

_EVERY = 3600.0  # seconds
_AT_ONCE = 8  # peers
_PATIENCE = 60.0  # seconds, with one of them
_ROUNDS = (
    20  # that go on from each other: more than an hour has checkpoints, unless they are signed by the second
)
_REFUSED = 5  # times in a row that a page is asked for, each as much later as the peer says
_MOST_ROWS = 200_000  # of a peer's, to be compared: some 300 MB


def heads_job(host: Host) -> Job:
    """Each hour, with every peer."""

    places = asyncio.Semaphore(_AT_ONCE)

    async def one(peer: Peer) -> None:
        """Whatever a peer does ends the round with that peer alone."""
        try:
            async with places, asyncio.timeout(_PATIENCE):
                await exchange(host, peer)
        except Exception as error:
            why = error.detail if isinstance(error, MosaicError) else type(error).__name__
            log.warning("mutual audit with peer %s: %s", peer.name, why)

    async def run(_: Mapping[str, Any]) -> None:
        from mosaic_federation.telling import told_of  # noqa: PLC0415  each command reads the list of jobs

        peers = [peer for peer in await Peers(host.database).all() if peer.standing == "active"]
        known = [told_of(peer) for peer in peers]
        await asyncio.gather(
            *(one(peer) for peer, can in zip(peers, known, strict=True) if can is None or can.audit_exchange)
        )

    return Job("federation.heads", run, every=_EVERY, attempts=1, timeout=600)


async def exchange(host: Host, peer: Peer) -> int | None:
    """Tell each other the latest checkpoint; the number of theirs, or None if they have none yet.

    Raises :class:`Conflict` if what either says does not agree with what it said before, :class:`Unavailable` for a
    release without this, and what :meth:`Links.get` does.
    """
    from mosaic_federation.mutual.witness import Witness  # noqa: PLC0415

    witness = Witness(host.database, "giver", peer.grant_id, peer.name)
    known = await _hear(host, peer, witness)
    with suppress(TooMany):  # it has heard enough of us for now
        await _tell(host, peer, known)
    return await witness.last()


async def _hear(host: Host, peer: Peer, witness: Witness) -> int | None:
    """Its checkpoints from the last one that it told; the last one of ours that it knows."""
    from mosaic_federation.mutual.words import LINKS, Heads  # noqa: PLC0415

    told = Heads()
    for _ in range(_ROUNDS):
        last = await witness.last()
        params = [] if last is None else [("known", str(last))]
        told = _read(Heads, peer, await _get(host, peer, "head", params))
        await witness.hear(told, last)
        if len(told.between) < LINKS:
            break
    return told.yours


async def _tell(host: Host, peer: Peer, known: int | None) -> None:
    from mosaic_federation.mutual.words import LINKS, heads_of  # noqa: PLC0415

    log = host.audit_log()
    latest = await log.head(fresh=True)
    for _ in range(_ROUNDS):
        ours = await heads_of(log, latest, known)
        await links_of(host).post(peer, "audit", "head", body=ours.model_dump())
        if ours.head is None or len(ours.between) < LINKS:
            break
        known = ours.head.checkpoint.number


async def rows_of_peer(host: Host, peer: Peer, since: datetime) -> AsyncIterator[SharedRow]:
    """Its rows of our grant, by time, as fast as it lets us ask. Raises as :func:`exchange` does."""
    from mosaic_federation.mutual.words import SharedRows, place_of  # noqa: PLC0415

    after, seen, refused = None, 0, 0
    while True:
        params = [("since", since.isoformat())] + ([("after", after)] if after else [])
        try:
            page = _read(SharedRows, peer, await _get(host, peer, "rows", params))
        except TooMany as busy:
            refused += 1
            if refused > _REFUSED:
                raise
            await asyncio.sleep(min(busy.retry_after, _PATIENCE))
            continue
        refused = 0
        for row in page.rows:
            yield row
        seen += len(page.rows)
        if page.after is None:
            return
        if not page.rows or (after is not None and place_of(page.after) <= place_of(after)):
            raise Unavailable(f"peer {peer.name!r} does not answer like a gateway: its pages never end")
        if seen >= _MOST_ROWS:
            raise Unavailable(
                f"peer {peer.name!r} has more than {_MOST_ROWS} rows of that time on record",
                remedy="compare a shorter time",
            )
        after = page.after


async def _get(host: Host, peer: Peer, what: str, params: list[tuple[str, str]]) -> bytes:
    try:
        return await links_of(host).get(peer, "audit", what, params=params, rows_in=_rows_in)
    except NotFound:
        raise Unavailable(
            f"the release of peer {peer.name!r} does not tell of its audit log",
            remedy="ask its admin to upgrade",
        ) from None


def _rows_in(body: bytes) -> int:
    from mosaic_federation.mutual.words import SharedRows  # noqa: PLC0415

    try:
        return len(SharedRows.model_validate_json(body).rows)
    except ValidationError:  # heads; and what is neither is refused when it is read
        return 0


def _read(model: type[M], peer: Peer, body: bytes) -> M:
    try:
        return model.model_validate_json(body)
    except ValidationError:
        raise Unavailable(f"peer {peer.name!r} does not answer like a gateway") from None
