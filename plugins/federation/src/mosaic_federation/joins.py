"""Enrollments under way, as the gateway that is shared with.

The key is kept before it is sent to be signed: if the process is killed between the other gateway's answer and
ours being stored, the URL is spent, and what is left here says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from mosaic_federation.peers import Peer
from mosaic_hookspecs.errors import Conflict
from mosaic_hookspecs.protocols import Database
from mosaic_hookspecs.sql import load_queries

_LONGEST = 60.0  # seconds: whatever is older has ended, for no answer is awaited as long

_sql = load_queries("mosaic_federation", "peers.sql")


@dataclass(frozen=True, slots=True)
class Join:
    """An enrollment that was begun. ``id`` is that of the peer it becomes, and seals its key."""

    id: UUID
    name: str
    gateway: str
    place: str
    grant_id: UUID
    token_hash: bytes = field(repr=False)
    sealed_key: bytes = field(repr=False)
    added_by: str
    failed: bool = False
    started_at: datetime | None = None  # set by the database


class Joins:
    """Enrollments that have begun and not ended well."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Join]:
        """All, by name."""
        return [Join(**row) for row in await self._database.fetch(_sql.joins)]

    async def by_token(self, hashed: bytes) -> Join | None:
        """The one that used this URL."""
        return next((join for join in await self.all() if join.token_hash == hashed), None)

    async def begin(self, join: Join) -> None:
        """Keep it, in place of an older one of that name. Raises :class:`Conflict` if that is still under way."""
        columns = (
            join.id,
            join.name,
            join.gateway,
            join.place,
            join.grant_id,
            join.token_hash,
            join.sealed_key,
        )
        if await self._database.fetchrow(_sql.join_begin, *columns, join.added_by, _LONGEST) is None:
            raise Conflict(
                f"an enrollment as {join.name!r} is under way", remedy=f"try again in {_LONGEST:.0f} s"
            )

    async def failed(self, join: Join) -> None:
        """No answer came: whether the URL is spent is not known."""
        await self._database.execute(_sql.join_failed, join.id)

    async def give_up(self, join: Join) -> None:
        """It was refused, and its key is of no use."""
        await self._database.execute(_sql.join_end, join.id)

    async def become(self, join: Join, peer: Peer, *, renews: bool) -> None:
        """Keep the peer that it has become; ``renews`` erases the one of that name in the same moment.

        Raises :class:`Conflict` for a name taken meanwhile, and if `peer remove` was told to forget it.
        """
        async with self._database.transaction() as sql:
            if await sql.fetchrow(_sql.join_end, join.id) is None:
                raise Conflict(f"the enrollment as {peer.name!r} was removed meanwhile")
            if renews:
                await sql.fetchrow(_sql.peer_remove, peer.name)
            if await sql.fetchrow(_sql.peer_create, *_columns(peer)) is None:
                raise Conflict(f"there is a peer {peer.name!r} already")


def _columns(peer: Peer) -> tuple[Any, ...]:
    return (
        *(peer.id, peer.name, peer.gateway, peer.url, peer.grant_id, peer.subject_id, peer.subject),
        *(json.dumps(peer.scope), peer.ca, peer.chain, peer.sealed_key, peer.serial, peer.not_after),
        *(peer.oid_arc, peer.readers, peer.added_by),
    )
