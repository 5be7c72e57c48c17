"""Peers: the gateways that share with this one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from mosaic_federation.grant_records import PEER_NAME
from mosaic_hookspecs.errors import NotFound
from mosaic_hookspecs.protocols import Database
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import User

Readers = Literal["admins", "everyone"]

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

    @property
    def key_place(self) -> str:
        """Where its key is sealed for."""
        return key_place(self.id)

    @property
    def standing(self) -> str:
        """Its state as the last answer left it: ``refused`` while it refuses us."""
        return "refused" if self.refusal else self.state

    def readable_by(self, user: User) -> bool:
        """Whether ``user`` may read through it."""
        return user.admin or self.readers == "everyone"


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
        """It refuses us no longer."""
        await self._database.execute(_sql.peer_answers, peer.id)

    async def refused(self, peer: Peer, why: str) -> None:
        """It does not let us in any more."""
        await self._database.execute(_sql.peer_refused, peer.id, why)

    async def remove(self, name: str) -> None:
        """Erase its keys and forget it, whether or not it can be reached. Raises :class:`NotFound`."""
        if not PEER_NAME.fullmatch(name):
            raise _unknown(name)
        async with self._database.transaction() as sql:
            peer = await sql.fetchrow(_sql.peer_remove, name)
            join = await sql.fetchrow(_sql.join_remove, name)
        if peer is None and join is None:
            raise _unknown(name)


def _peer(row: Any) -> Peer:
    return Peer(**{**row, "scope": json.loads(row["scope"])})


def _unknown(name: str) -> NotFound:
    return NotFound(f"there is no peer {name!r} for you", remedy="mosaic federation peer list")
