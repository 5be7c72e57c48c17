"""The pool over asyncpg. Trouble with the connection becomes one error: Unavailable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import asyncpg

from mosaic_gateway.refusals import explained
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.protocols import Queries
from mosaic_hookspecs.types import DatabaseLocation

CONNECT_TIMEOUT = 4.5  # seconds; less than a probe has, so that it can say why
_TIMEOUT = 30.0  # seconds, for a statement
PEER_TIMEOUT = 5.0  # seconds, for one of a peer: the server itself ends it then
_UNUSED = 60.0  # seconds after which a connection at hand goes back to the pool
_SESSION = {"search_path": "mosaic, public", "timezone": "UTC", "application_name": "mosaic"}
_BROKEN = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a query between the server's farewell and the end of the connection
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
    except asyncpg.DiskFullError as error:
        raise Unavailable(
            "the disk of the database is full; nothing was stored", remedy="make room on it, then try again"
        ) from error
    except (Unavailable, *_BROKEN) as error:
        if isinstance(error, ValueError):  # asyncpg's DataError: a wrong argument, not a lost connection
            raise
        # Who asks may be anyone: why it cannot be reached, with its address and role, is for the operator.
        raise Unavailable(
            f"the database does not answer ({type(error.__cause__ or error).__name__})",
            remedy="try again in a few seconds; `mosaic gateway doctor` says what is wrong",
        ) from error


async def connect(location: DatabaseLocation, *, role: str | None = None, **options: Any) -> Any:
    """One asyncpg connection, with this project's search path and UTC; as ``role``, if that is given.

    Peers are answered as a role, and then no statement takes longer than :data:`PEER_TIMEOUT`.

    Raises :class:`Unavailable` that says why there is none, and what to do.
    """
    as_role = {"role": role, "statement_timeout": str(int(PEER_TIMEOUT * 1000))} if role else {}
    with explained(location):
        return await asyncpg.connect(
            host=location.host,
            port=location.port,
            user=location.user,
            password=location.password,
            database=location.database,
            ssl=location.ssl,
            server_settings=_SESSION | as_role,
            timeout=CONNECT_TIMEOUT,
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


class Kept:
    """Connections kept at hand between single statements: asyncpg's pool takes 55 µs and a task to lend one.

    Whatever goes wrong with a statement, be it that its caller is gone, its connection goes back to the pool, which
    knows how to wait for the end of a cancelled query, and to close what is broken.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._idle: list[tuple[Any, float]] = []  # with the time of their last use, which is in rising order
        self._waiting = 0  # who asks the pool: the next connection goes there, and is not kept
        self._closing = False

    async def fetch(self, query: str, *args: Any) -> Any:
        """As asyncpg's."""
        return await self._run("fetch", query, *args)

    async def fetchrow(self, query: str, *args: Any) -> Any:
        """As asyncpg's."""
        return await self._run("fetchrow", query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        """As asyncpg's."""
        return await self._run("fetchval", query, *args)

    async def execute(self, query: str, *args: Any) -> Any:
        """As asyncpg's."""
        return await self._run("execute", query, *args)

    async def executemany(self, query: str, args: Sequence[Sequence[Any]]) -> None:
        """As asyncpg's."""
        await self._run("executemany", query, args)

    async def _run(self, method: str, query: str, *args: Any) -> Any:
        connection = await self.acquire()
        try:
            result = await getattr(connection, method)(query, *args)
        except BaseException:
            await self.release(connection)
            raise
        if self._waiting or self._closing:
            await self.release(connection)
        else:
            self._idle.append((connection, time.monotonic()))
            if self._idle[0][1] < self._idle[-1][1] - _UNUSED:
                await self.release(self._idle.pop(0)[0])
        return result

    async def acquire(self) -> Any:
        """A connection, whichever is nearer."""
        while self._idle:
            connection, _ = self._idle.pop()
            if _alive(connection):
                return connection
            await self.release(connection)
        self._waiting += 1
        try:
            return await self._pool.acquire()
        finally:
            self._waiting -= 1

    @property
    def in_use(self) -> int:
        """Connections that somebody has."""
        size, idle = self._pool.get_size(), self._pool.get_idle_size()
        return int(size - idle - len(self._idle))

    async def release(self, connection: Any) -> None:
        """Give it back to the pool; nothing is done if the pool has taken it back by itself."""
        await self._pool.release(connection)

    async def close(self) -> None:
        """Wait for running statements, and close all connections."""
        self._closing = True
        while self._idle:
            await self.release(self._idle.pop()[0])
        await self._pool.close()

    def terminate(self) -> None:
        """Close all connections now."""
        self._pool.terminate()


def _alive(connection: Any) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:  # the pool has noticed before, and taken it back
        return False


class Pool(Statements):
    """Implements :class:`mosaic_hookspecs.protocols.Database`."""

    @property
    def in_use(self) -> int:
        """Connections with a statement under way."""
        return int(self._target.in_use)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Queries]:
        """One connection in a transaction: committed on leaving, rolled back on an exception."""
        with _as_unavailable():
            connection = await self._target.acquire()
        try:
            transaction = connection.transaction()
            with _as_unavailable():
                await transaction.start()
            try:
                yield Statements(connection)
            except BaseException:
                with suppress(*_BROKEN):  # a lost connection is rolled back already; the reason is on its way
                    await transaction.rollback()
                raise
            with _as_unavailable():
                await transaction.commit()
        finally:
            await self._target.release(connection)

    @asynccontextmanager
    async def listen(self, channel: str) -> AsyncIterator[AsyncIterator[str]]:
        """Messages of ``NOTIFY channel``; takes one connection of the pool for its duration."""
        inbox: asyncio.Queue[str | None] = asyncio.Queue()
        gone = asyncio.Event()

        def heard(_connection: object, _pid: int, _channel: str, message: str) -> None:
            inbox.put_nowait(message)

        def lost(_connection: object) -> None:
            gone.set()
            inbox.put_nowait(None)

        with _as_unavailable():
            connection = await self._target.acquire()
        try:
            with _as_unavailable():
                await connection.add_listener(channel, heard)
                connection.add_termination_listener(lost)
            yield _until_lost(inbox)
        finally:
            if not gone.is_set():  # else the pool has taken it back by itself
                connection.remove_termination_listener(lost)
                await connection.remove_listener(channel, heard)
                await self._target.release(connection)


async def _until_lost(inbox: asyncio.Queue[str | None]) -> AsyncIterator[str]:
    while (message := await inbox.get()) is not None:
        yield message
    raise Unavailable("the connection that listens to the database was lost", remedy="try again")


async def _keep_session(_connection: object) -> None:
    """Skip asyncpg's RESET on release (18 µs a query): nothing here sets session state outside transactions."""


@asynccontextmanager
async def open_pool(
    location: DatabaseLocation,
    *,
    size: int = 10,
    lazy: bool = False,
    patience: float = 5.0,
    role: str | None = None,
) -> AsyncIterator[Pool]:
    """Connect, and close at the end. Raises :class:`Unavailable` that says why there is no connection.

    With ``lazy`` the first query connects. ``role`` is taken by each connection, and returned to by RESET ROLE.
    ``patience``: seconds that closing waits for running queries.
    """
    pool = await asyncpg.create_pool(
        connect=lambda *_args, **kwargs: connect(location, role=role, **kwargs),
        min_size=0 if lazy else 1,
        max_size=size,
        command_timeout=_TIMEOUT,
        reset=_keep_session,
    )
    kept = Kept(pool)
    try:
        yield Pool(kept)
    finally:
        try:
            await asyncio.wait_for(kept.close(), patience)
        except (TimeoutError, *_BROKEN):
            kept.terminate()
