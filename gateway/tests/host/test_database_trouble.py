"""What goes wrong in the database reaches callers as Unavailable, inside a transaction too."""

from __future__ import annotations

import asyncpg
import pytest

from mosaic_gateway.database import Pool
from mosaic_hookspecs.errors import Unavailable

LOSE = "SELECT pg_terminate_backend(pg_backend_pid())"
FULL = "DO $$ BEGIN RAISE disk_full USING MESSAGE = 'No space left on device'; END $$"


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
