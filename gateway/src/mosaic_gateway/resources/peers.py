"""The second wall: peers' statements run as a role that sees rows only through row-level security.

It knows nothing of the first (visibility.py): the database looks the grant up by itself. See docs/explanation.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol
from uuid import UUID

import asyncpg

from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.protocols import Queries
from mosaic_hookspecs.scope import like_credentials
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import Resource

_sql = load_queries("mosaic_gateway.resources", "peers.sql")
_LOCK = (
    0x6D6F73616964  # beside that of migrations: two processes must not change the same table's rights at once
)
_TRIES = 5  # the role is the cluster's, and the lock one database's: "tuple concurrently updated" may come of another's


@dataclass(frozen=True, slots=True)
class PeerRole:
    """The role, and what is still wrong with it."""

    name: str
    usable: bool
    complete: bool  # usable, with its rights on the tables, and they with their policies
    may_create: bool
    may_index: bool  # a search could be let use its index under row-level security


def shared_with_peers(resources: Iterable[Resource]) -> list[str]:
    """Names of the resources that any grant may reach."""
    return sorted(one.name for one in resources if one.federable and not like_credentials(one.name))


async def read_role(queries: Queries, resources: Iterable[Resource]) -> PeerRole:
    """Ask the database how the wall stands. Changes nothing."""
    row = await queries.fetchrow(_sql.state, shared_with_peers(resources))
    assert row is not None  # noqa: S101 - a SELECT from one row has one
    complete, may_index = row["usable"] and row["complete"], row["superuser"] and not row["indexed"]
    return PeerRole(row["role"], row["usable"], complete, row["may_create"], may_index)


async def build_wall(connection: Any, resources: Iterable[Resource]) -> PeerRole:
    """Make the role, the policies and the role's rights, as far as this is allowed and they are not there.

    ``connection`` is asyncpg's, of the tables' owner. Safe to run from many processes at once.
    """
    resources = list(resources)
    role = await read_role(connection, resources)
    if not role.may_index and (role.complete or not (role.usable or role.may_create)):
        return role
    for _ in range(_TRIES):
        try:
            return await _build(connection, resources)
        except asyncpg.InternalServerError as error:
            if "concurrently" not in str(error):
                raise
            await asyncio.sleep(random.uniform(0.01, 0.1))  # noqa: S311 - no secret
    return await _build(connection, resources)


async def _build(connection: Any, resources: list[Resource]) -> PeerRole:
    names = shared_with_peers(resources)
    async with connection.transaction():
        await connection.execute(_sql.lock, _LOCK)
        role = await read_role(connection, resources)  # again: another process may have been first
        if role.may_index:
            await connection.execute(_sql.use_the_index)
        if not (role.usable or role.may_create):
            return role
        if not role.usable:
            await _make(connection, role)
        if not role.complete:
            await connection.execute(_sql.wall_in, names)
            await connection.execute(_sql.open.format(role=_quoted(role)))
            for table in await connection.fetch(_sql.tables, names):
                await connection.execute(_sql.open_table.format(role=_quoted(role), table=table["name"]))
        return await read_role(connection, resources)


async def _make(connection: Any, role: PeerRole) -> None:
    try:
        async with connection.transaction():
            await connection.execute(_sql.create_role.format(role=_quoted(role)))
    except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
        pass  # roles are the cluster's: another database's gateway has made it
    await connection.execute(_sql.join_role.format(role=_quoted(role)))


def _quoted(role: PeerRole) -> str:
    return role.name.replace('"', '""')


class Reads(Protocol):
    """The reading part of :class:`Queries`: what an answer is made through."""

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        """All records."""
        ...

    async def fetchrow(self, query: str, *args: Any) -> Any | None:
        """The first record, or None."""
        ...


def _late() -> Unavailable:
    """Postgres has ended a statement that took too long."""
    return Unavailable(
        "the answer took longer to find than a peer's question may",
        remedy="ask for less at once: fewer words, a smaller limit, no highlights",
    )


class AsGrant:
    """Implements :class:`Reads` behind the wall, for one grant."""

    def __init__(self, peers: Reads | None, grant_id: UUID) -> None:
        if peers is None:  # why, and what to do, is for the operator: `mosaic gateway doctor` says it
            raise Unavailable(
                "this gateway answers no peers at the moment",
                remedy="tell its admin: `mosaic gateway doctor` says what is missing",
            )
        self._peers = peers
        self._grant_id = str(grant_id)

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        """All records. Raises :class:`Unavailable` if it takes too long."""
        try:
            return await self._peers.fetch(as_grant(query, len(args) + 1), *args, self._grant_id)
        except asyncpg.QueryCanceledError:
            raise _late() from None

    async def fetchrow(self, query: str, *args: Any) -> Any | None:
        """The first record, or None. Raises :class:`Unavailable` if it takes too long."""
        try:
            return await self._peers.fetchrow(as_grant(query, len(args) + 1), *args, self._grant_id)
        except asyncpg.QueryCanceledError:
            raise _late() from None


@lru_cache(maxsize=2048)
def as_grant(statement: str, at: int) -> str:
    """Return the statement with the identity of the grant, parameter ``at``, set before it reads anything.

    The join is lateral and its inside waits for the setting: Postgres cannot begin there.
    """
    text: str = _sql.as_grant
    return text.format(grant=f"${at}::text", statement=statement.strip().rstrip(";"))
