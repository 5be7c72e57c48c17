"""Peers: the gateways that share with this one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from mosaic_hookspecs.errors import Conflict, NotFound
from mosaic_hookspecs.protocols import Database
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import User

Readers = Literal["admins", "everyone"]

_sql = load_queries("mosaic_federation", "queries.sql")


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
    readers: Readers
    added_by: str
    created_at: datetime

    @property
    def key_place(self) -> str:
        """Where its key is sealed for."""
        return key_place(self.id)

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
        row = await self._database.fetchrow(_sql.peers, name)
        if row is None:
            raise _unknown(name)
        return _peer(row)

    async def known(self, name: str) -> bool:
        """Whether the name is taken."""
        return await self._database.fetchrow(_sql.peers, name) is not None

    async def readable(self, name: str, user: User) -> Peer:
        """One that ``user`` may read through; else :class:`NotFound`, as if it were absent."""
        peer = await self.get(name)
        if not peer.readable_by(user):
            raise _unknown(name)
        return peer

    async def store(self, peer: Peer) -> None:
        """Keep a peer just enrolled with, in state pending. Raises :class:`Conflict` for a name taken."""
        columns = (
            *(peer.id, peer.name, peer.gateway, peer.url, peer.grant_id, peer.subject_id, peer.subject),
            *(json.dumps(peer.scope), peer.ca, peer.chain, peer.sealed_key, peer.serial, peer.not_after),
            *(peer.readers, peer.added_by),
        )
        if await self._database.fetchrow(_sql.peer_create, *columns) is None:
            raise Conflict(f"there is a peer {peer.name!r} already")

    async def activate(self, peer: Peer) -> None:
        """It was heard from."""
        await self._database.execute(_sql.peer_activate, peer.id)

    async def remove(self, name: str) -> None:
        """Erase its key and forget it, whether or not it can be reached. Raises :class:`NotFound`."""
        if await self._database.fetchrow(_sql.peer_remove, name) is None:
            raise _unknown(name)


def _peer(row: Any) -> Peer:
    return Peer(**{**row, "scope": json.loads(row["scope"])})


def _unknown(name: str) -> NotFound:
    return NotFound(f"there is no peer {name!r} for you", remedy="mosaic federation peer list")
