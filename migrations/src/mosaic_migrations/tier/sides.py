"""The two databases: how each is connected to, and whose fault a lost connection is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import asyncpg

from mosaic_hookspecs.errors import ConfigError, Conflict, MosaicError, Unavailable
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import MigrationSet

LIVE = "mosaic"  # the schema a gateway uses
INCOMING = "mosaic_incoming"  # the same tables on the target, not yet in use
RECORD = "mosaic_transfer"  # what of them is done
JOB = f"{RECORD}.job"
AGAIN = "give the same command again: it goes on where this one stopped"

sql = load_queries("mosaic_migrations.tier", "queries.sql")

#: Opens a connection; raises a :class:`MosaicError` that says why there is none.
Connect = Callable[[], Awaitable[asyncpg.Connection]]

_LOST = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError, asyncpg.PostgresError)
_GRACE = 0.2  # seconds from a server's last words to the end of its connection


class Progress(Protocol):
    """Told what is going on and how much of it is done: rows while copying, else steps."""

    def __call__(self, step: str, done: int, total: int) -> None:
        """Take note; must be quick."""
        ...


def silent(step: str, done: int, total: int) -> None:
    """Show nothing."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two databases. ``connect`` is called for each of a few connections."""

    name: str  # "source" or "target"
    connect: Connect
    schema: str

    @asynccontextmanager
    async def session(self) -> AsyncIterator[asyncpg.Connection]:
        """One connection with fixed settings. Raises :class:`Unavailable` if this side is lost meanwhile."""
        connection = await self._open()
        try:
            yield connection
        except _LOST as error:
            await asyncio.sleep(_GRACE)
            if connection.is_closed():
                raise self._lost() from error
            raise
        finally:
            await _close(connection)

    async def _open(self) -> asyncpg.Connection:
        try:
            connection = await self.connect()
            await connection.execute("SET search_path = pg_catalog")
            await connection.fetch(sql.configure, self.schema)
            with suppress(asyncpg.InvalidParameterValueError):  # not on every system
                await connection.fetch(sql.notice_a_dead_client)
        except MosaicError as error:
            remedy = f"{error.remedy}; then {AGAIN}" if error.remedy else AGAIN
            raise Unavailable(f"the {self.name} database: {error.detail}", remedy=remedy) from error
        except _LOST as error:
            raise self._lost() from error
        return connection

    def _lost(self) -> Unavailable:
        return Unavailable(f"the connection to the {self.name} database was lost", remedy=AGAIN)


@dataclass(frozen=True, slots=True)
class Route:
    """From where to where, and with which tables."""

    source: Side
    target: Side
    sets: Sequence[MigrationSet]
    vector: bool = False  # whether the target is to have pgvector

    @classmethod
    def between(
        cls, source: Connect, target: Connect, sets: Sequence[MigrationSet], *, vector: bool
    ) -> Route:
        """Name the two sides."""
        return cls(Side("source", source, LIVE), Side("target", target, INCOMING), sets, vector)


async def _close(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=2)
    except _LOST:
        connection.terminate()


def explained(error: asyncpg.PostgresError) -> MosaicError:
    """What Postgres refused, in one line: its detail may quote rows."""
    reason = f"Postgres refuses: {_first_line(error)}"
    if isinstance(error, asyncpg.DiskFullError | asyncpg.OutOfMemoryError):
        return Unavailable(reason, remedy=f"make room on the target's server; then {AGAIN}")
    if isinstance(error, asyncpg.LockNotAvailableError):
        return Conflict("someone else uses these tables", remedy=f"stop what writes there; then {AGAIN}")
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return ConfigError(
            reason, remedy="give the role this right, or name the owner of the tables in the URL"
        )
    return Unavailable(reason, remedy=AGAIN)


def _first_line(error: BaseException) -> str:
    return str(error.args[0]).split("\n", 1)[0] if error.args else type(error).__name__


async def together(*work: Awaitable[None]) -> None:
    """Await all; the first failure ends the others and is raised by itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(_run(one))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _run(work: Awaitable[None]) -> None:
    await work
