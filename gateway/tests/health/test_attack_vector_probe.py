"""The question whether pgvector may be made, where something else happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from mosaic_gateway.database import connect
from mosaic_gateway.health.database import vector_probe
from mosaic_hookspecs.types import DatabaseLocation, Finding

if TYPE_CHECKING:
    from conftest import TcpPostgres


async def look(location: DatabaseLocation) -> Finding:
    @asynccontextmanager
    async def reopen() -> AsyncIterator[DatabaseLocation]:
        yield location

    return await vector_probe(location, reopen).check()


async def test_another_process_that_makes_it_at_the_same_moment(vector_postgres: TcpPostgres) -> None:
    location = replace(vector_postgres.superuser, database=await vector_postgres.new_database())
    other = await connect(location)
    attempt = other.transaction()
    await attempt.start()
    await other.execute("CREATE EXTENSION vector SCHEMA public")
    looking = asyncio.create_task(look(location))
    await asyncio.sleep(0.5)
    await attempt.commit()
    assert (await looking).status in ("green", "yellow")
    assert (await look(location)).status == "green"
    await other.close()


async def test_a_database_that_is_read_only_is_told_once(vector_postgres: TcpPostgres) -> None:
    name = await vector_postgres.new_database()
    await vector_postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    finding = await look(replace(vector_postgres.superuser, database=name))
    assert (finding.status, finding.remedy) == ("yellow", "see the finding `database`")


async def test_a_database_without_the_schema_public_is_no_fault_of_the_probe(
    vector_postgres: TcpPostgres,
) -> None:
    name = await vector_postgres.new_database()
    await vector_postgres.execute("DROP SCHEMA public CASCADE", database=name)
    finding = await look(replace(vector_postgres.superuser, database=name))
    assert finding.status == "red"
    assert finding.remedy.endswith("CREATE SCHEMA public")
