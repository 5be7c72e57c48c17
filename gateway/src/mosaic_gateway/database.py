"""The pool over asyncpg. Trouble with the connection becomes one error: Unavailable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg

from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.protocols import Queries
from mosaic_hookspecs.types import DatabaseLocation

_TIMEOUT = 30.0  # seconds, for a statement
_BROKEN = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        if isinstance(error, ValueError):  # asyncpg's DataError: a wrong argument, not a lost connection
            raise
        raise Unavailable(
            f"the database does not answer ({type(error).__name__})",
            remedy="try again in a few seconds; `mosaic gateway doctor` says what is wrong",
        ) from error


async def connect(location: DatabaseLocation, **options: Any) -> Any:
    """One asyncpg connection, with this project's search path and UTC. Raises asyncpg's own errors."""
    return await asyncpg.connect(
        host=location.host,
        port=location.port,
        user=location.user,
        password=location.password,
        database=location.database,
        server_settings={"search_path": "mosaic, public", "timezone": "UTC", "application_name": "mosaic"},
        **options,
    )


class Statements:
    """Implements :class:`mosaic_hookspecs.protocols.Queries` over a pool or one connection."""

    def __init__(self, target: Any) -> None:
        self._target = target

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        """All records."""
        with _as_unavailable():
            return list(await self._target.fetch(query, *args))

    async def fetchrow(self, query: str, *args: Any) -> Any | None:
        """The first record, or None."""
        with _as_unavailable():
            return await self._target.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        """The first column of the first record, or None."""
        with _as_unavailable():
            return await self._target.fetchval(query, *args)

    async def execute(self, query: str, *args: Any) -> str:
        """The command tag, such as ``UPDATE 1``."""
        with _as_unavailable():
            return str(await self._target.execute(query, *args))

    async def executemany(self, query: str, args: Sequence[Sequence[Any]]) -> None:
        """Run a statement for each row of arguments, all or nothing."""
        with _as_unavailable():
            await self._target.executemany(query, args)


class Pool(Statements):
    """Implements :class:`mosaic_hookspecs.protocols.Database`."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Queries]:
        """One connection in a transaction: committed on leaving, rolled back on an exception."""
        with _as_unavailable():
            connection = await self._target.acquire()
        try:
            async with connection.transaction():
                yield Statements(connection)
        finally:
            await self._target.release(connection)


async def _keep_session(_connection: object) -> None:
    """Skip asyncpg's RESET on release (18 µs a query): nothing here sets session state outside transactions."""


@asynccontextmanager
async def open_pool(location: DatabaseLocation, *, size: int = 10) -> AsyncIterator[Pool]:
    """Connect, and close at the end. Raises :class:`Unavailable` if there is no answer."""
    with _as_unavailable():
        pool = await asyncpg.create_pool(
            connect=lambda *_args, **kwargs: connect(location, **kwargs),
            min_size=1,
            max_size=size,
            command_timeout=_TIMEOUT,
            reset=_keep_session,
        )
    try:
        yield Pool(pool)
    finally:
        try:
            await asyncio.wait_for(pool.close(), 5)
        except (TimeoutError, *_BROKEN):
            pool.terminate()
