"""A road that is cut says nothing: no packet tells that nobody is at its other end any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import pytest

from mosaic_gateway.database import Pool, open_pool
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.types import DatabaseLocation

END = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND query = 'SELECT'"""


class Road:
    """Carries connections to a Unix socket, and swallows what comes on those that are cut."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._carried: list[asyncio.Event] = []

    def cut(self) -> None:
        """Those that are open; new ones get through."""
        for cut in self._carried:
            cut.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._socket)
        cut = asyncio.Event()
        self._carried.append(cut)

        async def one_way(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with suppress(OSError, asyncio.CancelledError):  # a task that a server began is nobody's to end
                while data := await source.read(65_536):
                    if not cut.is_set():
                        target.write(data)
                        await target.drain()

        await asyncio.gather(one_way(reader, back), one_way(there, writer))
        back.close()
        writer.close()


@pytest.fixture
async def road(postgres: DatabaseLocation) -> Road:
    return Road(f"{postgres.host}/.s.PGSQL.5432")


@pytest.fixture
async def far(
    road: Road, postgres: DatabaseLocation, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Pool]:
    """The database of the test at the end of the road."""
    monkeypatch.setattr("mosaic_gateway.database._SILENCE", 0.2)
    monkeypatch.setattr("mosaic_gateway.database._PATIENCE", 1.0)
    database = await pool.fetchval("SELECT current_database()")
    server = await asyncio.start_server(road.carry, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    there = replace(postgres, host="127.0.0.1", port=port, database=database)
    async with open_pool(there, size=2, lazy=True, patience=1.0) as far:
        yield far
    server.close()


async def test_who_listens_hears_of_a_road_that_was_cut_and_listens_anew(
    road: Road, far: Pool, pool: Pool
) -> None:
    async with asyncio.timeout(30):
        with pytest.raises(Unavailable, match="listens to the database was lost"):
            async with far.listen("news") as messages:
                await pool.execute("NOTIFY news, 'first'")
                assert await anext(messages) == "first"
                road.cut()
                await anext(messages)
        async with far.listen("news") as messages:
            await pool.execute("NOTIFY news, 'second'")
            assert await anext(messages) == "second"


async def test_silence_alone_ends_nothing(far: Pool, pool: Pool) -> None:
    async with asyncio.timeout(30), far.listen("news") as messages:
        await asyncio.sleep(1.0)  # it is asked again and again, and answers
        await pool.execute("NOTIFY news, 'late'")
        assert await anext(messages) == "late"


async def test_one_that_ends_while_it_is_asked_is_lost_like_any_other(
    postgres: DatabaseLocation, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mosaic_gateway.database._SILENCE", 0.0)  # it is asked without a pause
    database = await pool.fetchval("SELECT current_database()")
    async with asyncio.timeout(60), open_pool(replace(postgres, database=database), size=2) as near:
        for _ in range(10):
            with pytest.raises(Unavailable, match="listens to the database was lost"):
                async with near.listen("news") as messages:
                    heard = asyncio.ensure_future(anext(messages))
                    while not await pool.fetchval(END):
                        pass
                    await heard
