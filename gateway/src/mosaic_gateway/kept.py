"""Connections of asyncpg's pool, kept at hand between single statements."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Sequence
from typing import Any

import asyncpg

_UNUSED = 60.0  # seconds after which a connection at hand goes back to the pool


class Kept:
    """Connections kept at hand between single statements: asyncpg's pool takes 55 µs and a task to lend one.

    Whatever goes wrong with a statement, be it that its caller is gone, its connection goes back to the pool, which
    knows how to wait for the end of a cancelled query, and to close what is broken.
    """

    def __init__(self, pool: Any, size: int) -> None:
        self._pool = pool
        self._room = size  # connections that the pool may still be asked for
        self._idle: list[tuple[Any, float]] = []  # with the time of their last use, which is in rising order
        self._line: deque[asyncio.Future[Any]] = deque()  # who waits for one; None tells that there is room
        self._closing = False

    def fetch(self, query: str, *args: Any) -> Awaitable[Any]:
        """As asyncpg's."""
        return self._run("fetch", query, *args)

    def fetchrow(self, query: str, *args: Any) -> Awaitable[Any]:
        """As asyncpg's."""
        return self._run("fetchrow", query, *args)

    def fetchval(self, query: str, *args: Any) -> Awaitable[Any]:
        """As asyncpg's."""
        return self._run("fetchval", query, *args)

    def execute(self, query: str, *args: Any) -> Awaitable[Any]:
        """As asyncpg's."""
        return self._run("execute", query, *args)

    def executemany(self, query: str, args: Sequence[Sequence[Any]]) -> Awaitable[Any]:
        """As asyncpg's."""
        return self._run("executemany", query, args)

    async def _run(self, method: str, query: str, *args: Any) -> Any:
        connection = await self.acquire()
        try:
            result = await getattr(connection, method)(query, *args)
        except BaseException:
            await self.release(connection)
            raise
        await self.keep(connection)
        return result

    async def acquire(self) -> Any:
        """A connection, whichever is nearer; in the order of coming if there is none left."""
        while True:
            if self._idle:
                connection, _ = self._idle.pop()
                if _alive(connection):
                    return connection
                await self.release(connection)
            elif self._room > 0 or self._closing:
                return await self._of_pool()
            elif (connection := await self._turn()) is not None:
                return connection

    async def _of_pool(self) -> Any:
        self._room -= 1
        try:
            return await self._pool.acquire()
        except BaseException:
            self._make_room()
            raise

    async def _turn(self) -> Any | None:
        turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            return await turn
        except BaseException:  # whoever asked is gone, perhaps at the very moment of its turn
            if not turn.cancelled():
                await self._pass_on(turn.result())
            raise

    async def _pass_on(self, connection: Any | None) -> None:
        if connection is None:
            self._hand(None)
        else:
            await self.release(connection)

    def _hand(self, connection: Any | None) -> bool:
        """Give it to whoever waits longest; return whether anybody does."""
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(connection)
                return True
        return False

    def _make_room(self) -> None:
        self._room += 1
        self._hand(None)

    async def keep(self, connection: Any) -> None:
        """Take back a connection that is as good as new."""
        if self._closing:
            await self.release(connection)
        elif not self._hand(connection):
            self._idle.append((connection, time.monotonic()))
            if self._idle[0][1] < self._idle[-1][1] - _UNUSED:
                await self.release(self._idle.pop(0)[0])

    @property
    def in_use(self) -> int:
        """Connections that somebody has."""
        size, idle = self._pool.get_size(), self._pool.get_idle_size()
        return int(size - idle - len(self._idle))

    async def release(self, connection: Any) -> None:
        """Give it back to the pool, which may have taken it back by itself."""
        try:
            await self._pool.release(connection)
        finally:
            self._make_room()

    async def close(self) -> None:
        """Wait for running statements, and close all connections."""
        self._closing = True
        while self._hand(None):  # the pool tells them
            pass
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
