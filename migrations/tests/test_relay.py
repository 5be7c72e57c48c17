"""Rows pass from one server to another whole, whatever their size; if one side fails, the other can be used."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import asyncpg
import pytest

from mosaic_migrations.tier.relay import relay

Connect = Callable[[], AbstractAsyncContextManager[asyncpg.Connection]]
READ = """
COPY (SELECT n, repeat(chr(64 + n % 26), {size}) FROM (SELECT generate_series(1, {rows}) n) each)
TO STDOUT (FORMAT binary)
"""
WRITE = "COPY arrived FROM STDIN (FORMAT binary)"
WHOLE = "SELECT count(*) FROM arrived WHERE word = repeat(chr(64 + id % 26), {size})"


@pytest.fixture
async def target(conn: asyncpg.Connection) -> asyncpg.Connection:
    await conn.execute(
        "DROP TABLE IF EXISTS arrived; CREATE UNLOGGED TABLE arrived (id int UNIQUE, word text)"
    )
    return conn


async def begun(conn: asyncpg.Connection) -> None:
    while not await conn.fetchval("SELECT pg_relation_size('arrived') > 0"):  # noqa: ASYNC110  Postgres tells nobody
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(("rows", "size"), [(0, 1), (1, 1), (100_000, 3), (5_000, 1_000), (7, 3_000_001)])
async def test_all_rows_arrive(connect: Connect, target: asyncpg.Connection, rows: int, size: int) -> None:
    async with connect() as source:
        await relay(source, READ.format(rows=rows, size=size), target, WRITE)
        assert await target.fetchval(WHOLE.format(size=size)) == rows
        assert await source.fetchval("SELECT 1") == 1  # both are as they were
        await relay(source, READ.format(rows=0, size=1), target, WRITE)


async def test_a_large_row_takes_little_memory(connect: Connect, target: asyncpg.Connection) -> None:
    async with connect() as source:
        tracemalloc.start()
        try:
            await relay(source, READ.format(rows=3, size=50_000_000), target, WRITE)
            assert tracemalloc.get_traced_memory()[1] < 3_000_000
        finally:
            tracemalloc.stop()
    assert await target.fetchval(WHOLE.format(size=50_000_000)) == 3


async def test_what_the_target_refuses_is_raised_and_both_go_on(
    connect: Connect, target: asyncpg.Connection
) -> None:
    await target.execute("INSERT INTO arrived VALUES (2, 'before')")
    async with connect() as source:
        with pytest.raises(asyncpg.UniqueViolationError):
            await relay(source, READ.format(rows=20_000, size=1000), target, WRITE)
        with pytest.raises(asyncpg.UndefinedTableError):
            await relay(source, READ.format(rows=1, size=1), target, WRITE.replace("arrived", "nowhere"))
        assert await source.fetchval("SELECT 1") == 1
    assert await target.fetchval("SELECT count(*) FROM arrived") == 1


async def test_what_the_source_refuses_is_raised_and_nothing_arrives(
    connect: Connect, target: asyncpg.Connection
) -> None:
    async with connect() as source:
        late = READ.format(rows=9000, size="100 / (n - 8000)")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await relay(source, late, target, WRITE)
        assert await source.fetchval("SELECT 1") == 1
    assert await target.fetchval("SELECT count(*) FROM arrived") == 0


@pytest.mark.parametrize("lost", ["source", "target"])
async def test_a_lost_side_is_closed_and_the_other_is_not(
    connect: Connect, target: asyncpg.Connection, lost: str
) -> None:
    async with connect() as source, connect() as writer, connect() as other:
        sides = {"source": source, "target": writer}
        copying = asyncio.create_task(relay(source, READ.format(rows=100_000, size=3000), writer, WRITE))
        await begun(other)
        await other.execute("SELECT pg_terminate_backend($1)", sides[lost].get_server_pid())
        with pytest.raises((asyncpg.AdminShutdownError, ConnectionError)):
            await copying
        while not sides[lost].is_closed():  # noqa: ASYNC110  asyncpg tells nobody
            await asyncio.sleep(0.01)
        assert {name: side.is_closed() for name, side in sides.items()} == {
            name: name == lost for name in sides
        }
    assert await target.fetchval("SELECT count(*) FROM arrived") == 0


async def test_cancelled_it_closes_both(connect: Connect, target: asyncpg.Connection) -> None:
    async with connect() as source, connect() as writer:
        copying = asyncio.create_task(relay(source, READ.format(rows=10**9, size=100), writer, WRITE))
        await begun(target)
        copying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await copying
        assert source.is_closed()
        assert writer.is_closed()
