"""Peers: the gateways that share with this one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from mosaic_federation.grant_records import PEER_NAME
from mosaic_hookspecs.errors import NotFound
from mosaic_hookspecs.protocols import Database
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import User

Readers = Literal["admins", "everyone"]

FAILURES = 3  # in a row open the breaker: the peer is left alone for a while
_LONGEST_PAUSE = 600.0  # seconds
_TRIAL = 20.0  # seconds that a first dial after a pause has; longer than any dial takes
_STEP = re.compile(r"[A-Za-z0-9_-]{1,64}")
_A_MINUTE = timedelta(minutes=1)

_sql = load_queries("mosaic_federation", "peers.sql")


@dataclass(frozen=True, slots=True)
class Peer:
    """A gateway that shares with this one, and what is needed to ask it."""

    id: UUID
    name: str
    state: str  # "pending" until it was heard from over mTLS, then "active"
    gateway: str
    url: str
    grant_id: UUID
    subject_id: UUID
    subject: str
    scope: dict[str, Any]  # as it announced it; it may know keys that we do not
    ca: bytes
    chain: bytes
    sealed_key: bytes = field(repr=False)
    serial: str
    not_after: datetime
    oid_arc: str
    readers: Readers
    added_by: str
    created_at: datetime
    refusal: str | None = None  # why it last refused us, unless it has answered since
    refused_at: datetime | None = None
    answered_at: datetime | None = None  # to the minute
    failures: int = 0  # dials in a row that reached nobody
    failure: str | None = None  # why the last of them did not
    retry_at: datetime | None = None  # it is left alone until then
    renewed_at: datetime | None = None  # our certificate
    renewal_failures: int = 0  # in a row
    renewal_failure: str | None = None  # why the last of them failed
    renewal_retry_at: datetime | None = None  # not renewed before, unless by hand
    capabilities: dict[str, Any] | None = None  # what its release can do, as it said; None: not asked yet
    capabilities_at: datetime | None = None
    capabilities_for: str | None = None  # our release when it was asked

    @property
    def key_place(self) -> str:
        """Where its key is sealed for."""
        return key_place(self.id)

    @property
    def standing(self) -> str:
        """Its state as the last dial left it: ``refused`` while it refuses us, ``unreachable`` while it is away."""
        return "refused" if self.refusal else "unreachable" if self.retry_at else self.state

    def readable_by(self, user: User) -> bool:
        """Whether ``user`` may read through it."""
        return user.admin or self.readers == "everyone"


def check_steps(peer: Peer, steps: Sequence[str]) -> None:
    """Raise :class:`NotFound` for a step of a path that no gateway can have."""
    if not all(_STEP.fullmatch(step) for step in steps):
        raise NotFound(f"peer {peer.name!r} can have no such resource or row")


def key_place(peer_id: UUID) -> str:
    """The sealer's place of a peer's key."""
    return f"federation_peers/{peer_id}/key"


class Peers:
    """The peers of this gateway, without those removed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Peer]:
        """All, by name."""
        return [_peer(row) for row in await self._database.fetch(_sql.peers, None)]

    async def get(self, name: str) -> Peer:
        """One. Raises :class:`NotFound`."""
        row = await self._database.fetchrow(_sql.peers, name) if PEER_NAME.fullmatch(name) else None
        if row is None:
            raise _unknown(name)
        return _peer(row)

    async def of_grant(self, grant_id: UUID) -> list[Peer]:
        """Those that enrolled for a grant of this id: whose it is, only the authority tells."""
        return [peer for peer in await self.all() if peer.grant_id == grant_id]

    async def readable(self, name: str, user: User) -> Peer:
        """One that ``user`` may read through; else :class:`NotFound`, as if it were absent."""
        peer = await self.get(name)
        if not peer.readable_by(user):
            raise _unknown(name)
        return peer

    async def heard(self, peer: Peer, scope: dict[str, Any]) -> None:
        """It knows us, and says that its scope is now this one."""
        await self._database.execute(_sql.peer_heard, peer.id, json.dumps(scope))

    async def answers(self, peer: Peer) -> None:
        """It is there, and lets us in. Written down if that is news, or once a minute."""
        long_ago = datetime.now(UTC) - _A_MINUTE
        if peer.refusal or peer.failures or peer.answered_at is None or peer.answered_at < long_ago:
            await self._database.execute(_sql.peer_answers, peer.id)

    async def refused(self, peer: Peer, why: str) -> None:
        """It does not let us in any more: what it has answered before is not shown any more either."""
        async with self._database.transaction() as sql:
            await sql.execute(_sql.peer_refused, peer.id, why, peer.serial)
            await sql.execute(_sql.answers_forget, peer.id)

    async def failed(self, peer: Peer, why: str) -> None:
        """It could not be reached."""
        await self._database.execute(_sql.peer_failed, peer.id, why, FAILURES, _LONGEST_PAUSE, peer.failures)

    async def may_try(self, peer: Peer) -> bool:
        """Whether to dial: not before its time has come, and then one request ahead of all others."""
        if peer.retry_at is None:
            return True
        if peer.retry_at > datetime.now(UTC):
            return False
        return await self._database.fetchval(_sql.peer_try, peer.id, _TRIAL) is not None

    async def came(self, name: str) -> None:
        """A gateway of this name has asked us something: so it can be asked."""
        await self._database.execute(_sql.peer_came, name)

    async def remove(self, name: str) -> None:
        """Erase its keys and forget it, whether or not it can be reached. Raises :class:`NotFound`."""
        if not PEER_NAME.fullmatch(name):
            raise _unknown(name)
        async with self._database.transaction() as sql:
            peer = await sql.fetchrow(_sql.peer_remove, name)
            if peer is not None:
                await sql.execute(_sql.answers_forget, peer["id"])
            join = await sql.fetchrow(_sql.join_remove, name)
        if peer is None and join is None:
            raise _unknown(name)


def _peer(row: Any) -> Peer:
    told = {name: row[name] and json.loads(row[name]) for name in ("scope", "capabilities")}
    return Peer(**{**row, **told})


def _unknown(name: str) -> NotFound:
    return NotFound(f"there is no peer {name!r} for you", remedy="mosaic federation peer list")
