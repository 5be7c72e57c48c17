"""Connections to the database that end at any moment: one error, never a bug's, whatever the moment."""

from __future__ import annotations

import asyncio

from mosaic_gateway.database import Pool, connect
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.types import DatabaseLocation

END_ALL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE pid <> pg_backend_pid() AND datname = $1 AND application_name = 'mosaic'"
)


async def test_a_query_on_an_ended_connection_is_unavailable_and_nothing_else(
    pool: Pool, postgres: DatabaseLocation
) -> None:
    database = await pool.fetchval("SELECT current_database()")
    administration = await connect(postgres)
    over, failures = asyncio.Event(), list[Exception]()

    async def ask() -> None:
        while not over.is_set():
            try:
                await pool.fetchval("SELECT 1")
            except Exception as error:
                failures.append(error)

    asking = [asyncio.create_task(ask()) for _ in range(4)]
    for _ in range(60):
        await asyncio.sleep(0.02)
        await administration.execute(END_ALL, database)
    over.set()
    await asyncio.gather(*asking)
    await administration.close()
    assert failures
    assert {type(failure) for failure in failures} == {Unavailable}
    async with asyncio.timeout(60):
        while not await answers(pool):
            pass


async def answers(pool: Pool) -> bool:
    """A connection that was ended last may not have been noticed yet."""
    try:
        return bool(await pool.fetchval("SELECT 1") == 1)
    except Unavailable:
        return False
