"""Mutual audit as the gateway that is shared with: exchange checkpoints, and fetch the peer's rows of our grant."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from mosaic_federation.links import links_of
from mosaic_federation.peers import Peer, Peers
from mosaic_hookspecs.errors import MosaicError, NotFound, Unavailable
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import Job

if TYPE_CHECKING:
    from mosaic_federation.mutual.words import SharedRow

M = TypeVar("M", bound=BaseModel)

log = logging.getLogger("mosaic.federation")

_EVERY = 3600.0  # seconds


def heads_job(host: Host) -> Job:
    """Each hour, with every peer."""

    async def one(peer: Peer) -> None:
        try:
            await exchange(host, peer)
        except MosaicError as error:
            log.warning("mutual audit with peer %s: %s", peer.name, error.detail)

    async def run(_: Mapping[str, Any]) -> None:
        from mosaic_federation.telling import told_of  # noqa: PLC0415  each command reads the list of jobs

        for peer in await Peers(host.database).all():
            known = told_of(peer)
            if peer.standing == "active" and (known is None or known.audit_exchange):
                await one(peer)

    return Job("federation.heads", run, every=_EVERY, attempts=1, timeout=600)


async def exchange(host: Host, peer: Peer) -> int | None:
    """Tell each other the latest checkpoint; the number of theirs, or None if they have none yet.

    Raises :class:`Conflict` if what either says does not agree with what it said before, :class:`Unavailable` for a
    release without this, and what :meth:`Links.get` does.
    """
    from mosaic_federation.mutual.witness import Witness  # noqa: PLC0415
    from mosaic_federation.mutual.words import Heads, head_of  # noqa: PLC0415

    witness = Witness(host.database, "giver", peer.grant_id, peer.name)
    last = await witness.last()
    params = [] if last is None else [("known", str(last))]
    told = _read(Heads, peer, await _get(host, peer, "head", params))
    await witness.hear(told, last)
    log = host.audit_log()
    known = await log.checkpoint(told.yours) if told.yours else None
    ours = Heads(head=await head_of(log, await log.head(fresh=True)), known=await head_of(log, known))
    await links_of(host).post(peer, "audit", "head", body=ours.model_dump())
    return await witness.last()


async def rows_of_peer(host: Host, peer: Peer, since: datetime) -> AsyncIterator[SharedRow]:
    """Its rows of our grant, by time. Raises as :func:`exchange` does."""
    from mosaic_federation.mutual.words import SharedRows  # noqa: PLC0415

    after = None
    while True:
        params = [("since", since.isoformat())] + ([("after", after)] if after else [])
        page = _read(SharedRows, peer, await _get(host, peer, "rows", params))
        for row in page.rows:
            yield row
        if page.after is None or page.after == after:
            return
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
