"""The pool over asyncpg. Trouble with the connection becomes one error: Unavailable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from mosaic_gateway.kept import Kept
from mosaic_gateway.refusals import explained
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.protocols import Queries
from mosaic_hookspecs.types import DatabaseLocation

CONNECT_TIMEOUT = 4.5  # seconds; less than a probe has, so that it can say why
_TIMEOUT = 30.0  # seconds, for a statement
PEER_TIMEOUT = 5.0  # seconds, for one of a peer: the server itself ends it then
_SILENCE = 30.0  # seconds without a message, after which a connection that listens is asked if it lives
_PATIENCE = 5.0  # seconds that it has to say so
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


class _AsUnavailable:
    """A context in which trouble becomes Unavailable. One for all: a generator would cost each statement 2 µs."""

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, asyncpg.DiskFullError):
            raise Unavailable(
                "the disk of the database is full; nothing was stored",
                remedy="make room on it, then try again",
            ) from error
        # asyncpg's DataError is a ValueError: a wrong argument, not a lost connection
        if isinstance(error, (Unavailable, *_BROKEN)) and not isinstance(error, ValueError):
            # Who asks may be anyone: why it cannot be reached, with its address and role, is for the operator.
            raise Unavailable(
                f"the database does not answer ({type(error.__cause__ or error).__name__})",
                remedy="try again in a few seconds; `mosaic gateway doctor` says what is wrong",
            ) from error


_as_unavailable = _AsUnavailable()


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
        with _as_unavailable:
            rows: list[Any] = await self._target.fetch(query, *args)
            return rows

    async def fetchrow(self, query: str, *args: Any) -> Any | None:
        """The first record, or None."""
        with _as_unavailable:
            return await self._target.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        """The first column of the first record, or None."""
        with _as_unavailable:
            return await self._target.fetchval(query, *args)

    async def execute(self, query: str, *args: Any) -> str:
        """The command tag, such as ``UPDATE 1``."""
        with _as_unavailable:
            return str(await self._target.execute(query, *args))

    async def executemany(self, query: str, args: Sequence[Sequence[Any]]) -> None:
        """Run a statement for each row of arguments, all or nothing."""
        with _as_unavailable:
            await self._target.executemany(query, args)


class Pool(Statements):
    """Implements :class:`mosaic_hookspecs.protocols.Database`."""

    @property
    def in_use(self) -> int:
        """Connections with a statement under way."""
        return int(self._target.in_use)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Queries]:
        """One connection in a transaction: committed on leaving, rolled back on an exception."""
        with _as_unavailable:
            connection = await self._target.acquire()
        try:
            transaction = connection.transaction()
            with _as_unavailable:
                await transaction.start()
            try:
                yield Statements(connection)
            except BaseException:
                with suppress(*_BROKEN):  # a lost connection is rolled back already; the reason is on its way
                    await transaction.rollback()
                raise
            with _as_unavailable:
                await transaction.commit()
        except BaseException:
            await self._target.release(connection)
            raise
        await self._target.keep(connection)

    @asynccontextmanager
    async def listen(self, channel: str) -> AsyncIterator[AsyncIterator[str]]:
        """Messages of ``NOTIFY channel``; takes one connection of the pool for its duration.

        Raises :class:`Unavailable` once the connection is lost, after half a minute also one that nobody ended.
        """
        inbox: asyncio.Queue[str | None] = asyncio.Queue()
        gone = asyncio.Event()

        def heard(_connection: object, _pid: int, _channel: str, message: str) -> None:
            inbox.put_nowait(message)

        def lost(_connection: object) -> None:
            gone.set()
            inbox.put_nowait(None)

        with _as_unavailable:
            connection = await self._target.acquire()
        try:
            with _as_unavailable:
                await connection.add_listener(channel, heard)
                connection.add_termination_listener(lost)
            yield _until_lost(inbox, connection)
        finally:
            try:
                if not gone.is_set():  # else the pool has taken it back by itself
                    connection.remove_termination_listener(lost)
                    await connection.remove_listener(channel, heard)
            finally:
                await self._target.release(connection)


async def _until_lost(inbox: asyncio.Queue[str | None], connection: Any) -> AsyncIterator[str]:
    while (message := await _next(inbox, connection)) is not None:
        yield message
    raise Unavailable("the connection that listens to the database was lost", remedy="try again")


async def _next(inbox: asyncio.Queue[str | None], connection: Any) -> str | None:
    """The next message, None once the connection is lost. Where a road is cut no packet says so: it is asked."""
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(_SILENCE):
                return await inbox.get()
        try:
            await connection.execute("SELECT", timeout=_PATIENCE)
        except (*_BROKEN, asyncpg.PostgresError):
            with suppress(*_BROKEN):  # lost meanwhile
                connection.terminate()  # it is told to be lost, like any other


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
    kept = Kept(pool, size)
    try:
        yield Pool(kept)
    finally:
        try:
            await asyncio.wait_for(kept.close(), patience)
        except (TimeoutError, *_BROKEN):
            kept.terminate()
