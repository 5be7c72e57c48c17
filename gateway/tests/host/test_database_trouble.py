"""What goes wrong in the database reaches callers as Unavailable, inside a transaction too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

from mosaic_gateway.database import Pool, open_pool
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.types import DatabaseLocation

LOSE = "SELECT pg_terminate_backend(pg_backend_pid())"
FULL = "DO $$ BEGIN RAISE disk_full USING MESSAGE = 'No space left on device'; END $$"
OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
SLEEPING = f"SELECT count(*) {OTHERS} AND query = 'SELECT pg_sleep(20)' AND state = 'active'"


@pytest.fixture
async def location(postgres: DatabaseLocation, pool: Pool) -> DatabaseLocation:
    return replace(postgres, database=await pool.fetchval("SELECT current_database()"))


@pytest.fixture
async def small(location: DatabaseLocation) -> AsyncIterator[Pool]:
    """A pool of two connections."""
    async with open_pool(location, size=2, lazy=True) as small:
        yield small


async def test_a_connection_lost_in_a_transaction_is_unavailable(pool: Pool) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        async with pool.transaction() as queries:
            await queries.execute(LOSE)
    assert await pool.fetchval("SELECT 1") == 1


async def test_a_connection_lost_at_the_commit_is_unavailable(pool: Pool) -> None:
    await pool.execute("CREATE TABLE t (x int)")
    await pool.execute(
        f"CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM {LOSE[7:]}; RETURN NULL; END $$"
    )
    await pool.execute(
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION lose()"
    )
    with pytest.raises(Unavailable, match="does not answer"):
        async with pool.transaction() as queries:
            await queries.execute("INSERT INTO t VALUES (1)")
    assert await pool.fetchval("SELECT count(*) FROM t") == 0


async def test_a_full_disk_is_named(pool: Pool) -> None:
    with pytest.raises(Unavailable, match="disk of the database is full"):
        await pool.execute(FULL)
    with pytest.raises(Unavailable, match="disk of the database is full"):
        async with pool.transaction() as queries:
            await queries.execute(FULL)


async def test_what_the_caller_raises_rolls_back_and_stays_what_it_is(pool: Pool) -> None:
    await pool.execute("CREATE TABLE t (x int PRIMARY KEY)")
    with pytest.raises(FileNotFoundError):
        async with pool.transaction() as queries:
            await queries.execute("INSERT INTO t VALUES (1)")
            raise FileNotFoundError
    with pytest.raises(asyncpg.UniqueViolationError):
        async with pool.transaction() as queries:
            await queries.executemany("INSERT INTO t VALUES ($1)", [(2,), (2,)])
    assert await pool.fetchval("SELECT count(*) FROM t") == 0


async def test_a_statement_whose_caller_is_gone_leaves_its_connection_usable(small: Pool) -> None:
    for _ in range(5):  # more often than there are connections
        caller = asyncio.create_task(small.fetchval("SELECT pg_sleep(20)"))
        while not await small.fetchval(SLEEPING):
            pass
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
    assert await asyncio.gather(*(small.fetchval("SELECT $1::int", n) for n in range(20))) == list(range(20))
    assert not await small.fetchval(SLEEPING)  # the server was told, too


async def test_failures_and_lost_connections_use_up_nothing(small: Pool) -> None:
    for _ in range(5):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await small.execute("SELECT 1 / 0")
        with pytest.raises(Unavailable):
            await small.execute(LOSE)
    assert await asyncio.gather(*(small.fetchval("SELECT $1::int", n) for n in range(20))) == list(range(20))


async def test_a_connection_lost_while_nobody_uses_it_is_replaced(small: Pool, pool: Pool) -> None:
    await asyncio.gather(*(small.fetchval("SELECT pg_sleep(0.01)") for _ in range(2)))  # both are at hand
    assert len(await pool.fetch(f"SELECT pg_terminate_backend(pid, 10000) {OTHERS}")) == 2
    for _ in range(10):  # turns of the loop, in which the farewells and the ends that are there are read
        await asyncio.sleep(0)
    assert await small.fetchval("SELECT 1") == 1


async def test_statements_transactions_and_listeners_share_what_there_is(small: Pool, pool: Pool) -> None:
    async def in_transaction() -> None:
        async with small.transaction() as queries:
            await queries.execute("SELECT 1")

    async with small.listen("news"):
        await asyncio.gather(
            *(small.execute("SELECT 1") for _ in range(20)), *(in_transaction() for _ in range(20))
        )
        assert await pool.fetchval(f"SELECT count(*) {OTHERS}") == 2


async def test_what_runs_at_the_end_is_waited_for(location: DatabaseLocation) -> None:
    async with open_pool(location, size=2) as closing:
        await closing.execute("SELECT 1")
        running = asyncio.create_task(closing.fetchval("SELECT 1 FROM pg_sleep(0.1)"))
        await asyncio.sleep(0)
    assert await running == 1
    with pytest.raises(Unavailable):
        await closing.execute("SELECT 1")


async def test_who_leaves_the_line_takes_no_connection_along(small: Pool) -> None:
    for _ in range(3):
        busy = [asyncio.create_task(small.fetchval("SELECT 1 FROM pg_sleep(0.05)")) for _ in range(2)]
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(small.fetchval("SELECT $1::int", n)) for n in range(6)]
        await asyncio.sleep(0)
        for one in waiting[::2]:  # also the one whose turn comes next
            one.cancel()
        done = await asyncio.gather(*busy, *waiting, return_exceptions=True)
        assert [each for each in done if not isinstance(each, asyncio.CancelledError)] == [1, 1, 1, 3, 5]
    assert await asyncio.gather(*(small.fetchval("SELECT $1::int", n) for n in range(20))) == list(range(20))


async def test_who_waits_longest_comes_first(small: Pool) -> None:
    order = list[int]()

    async def ask(number: int) -> None:
        await small.fetchval("SELECT 1 FROM pg_sleep(0.02)")
        order.append(number)

    async with small.transaction():  # one connection is left
        await asyncio.gather(*(ask(number) for number in range(6)))
    assert order == list(range(6))
