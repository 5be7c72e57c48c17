"""A role with which the target database is shared, and what it lays out for the move: none of it is run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from held_moves import hold, let_go, until_held

if TYPE_CHECKING:
    from conftest import Home, Postgres

pytestmark = pytest.mark.timeout(300)

#: Run with the rights of whoever calls it: it leaves a trace that no roll-back undoes.
_PLANTED = "SELECT nextval('witness.number')"
_FUNCTION = """
CREATE FUNCTION {name} RETURNS {result} LANGUAGE plpgsql AS $f$ BEGIN
    PERFORM nextval('witness.number');
    RETURN {value};
END $f$
"""
_OWNERS = """
SELECT format('ALTER TABLE %s OWNER TO tenant', oid::regclass) FROM pg_class
WHERE relnamespace = 'mosaic_transfer'::regnamespace AND relkind = 'r'
"""


@pytest.fixture
async def shared(debian: Postgres) -> AsyncIterator[str]:
    """A target database of the mover's in which ``tenant`` may make schemas."""
    url = await debian.new_database()
    async with debian.administration(name(url)) as conn:
        if not await conn.fetchval("SELECT 1 FROM pg_roles WHERE rolname = 'tenant'"):
            await conn.execute("CREATE ROLE tenant")
        await conn.execute(
            f"GRANT CREATE ON DATABASE {name(url)} TO tenant; CREATE SCHEMA witness;"
            "GRANT USAGE ON SCHEMA witness TO PUBLIC; CREATE SEQUENCE witness.number;"
            "GRANT ALL ON SEQUENCE witness.number TO PUBLIC"
        )
    yield url


def name(url: str) -> str:
    return url.rsplit("/", 1)[1]


async def planted(server: Postgres, url: str) -> bool:
    async with server.administration(name(url)) as conn:
        return bool(await conn.fetchval("SELECT is_called FROM witness.number"))


async def test_a_record_of_somebody_else_is_not_gone_on_with(
    small: Home, debian: Postgres, shared: str
) -> None:
    async with debian.administration(name(shared)) as conn:
        await hold(conn, "copying", parts=1)
        tool = small.popen("storage", "migrate-tier", "--to", "standalone", "--target", shared, "--yes")
        await until_held(conn, tool)
        tool.kill()
        tool.communicate()
        await let_go(conn)
        await conn.execute("ALTER SCHEMA mosaic_transfer OWNER TO tenant")
        for row in await conn.fetch(_OWNERS):
            await conn.execute(row[0])
        quoted = _PLANTED.replace("'", "''")
        await conn.execute(
            f"SET ROLE tenant; UPDATE mosaic_transfer.steps SET statement = '{quoted}';"
            "GRANT ALL ON SCHEMA mosaic_transfer TO gateway;"
            "GRANT ALL ON ALL TABLES IN SCHEMA mosaic_transfer TO gateway"
        )
    said = small.migrate(shared, "--yes", code=3)
    assert "mosaic_transfer" in said
    assert not await planted(debian, shared)


async def test_a_schema_made_during_the_copy_is_not_looked_into(
    small: Home, debian: Postgres, shared: str
) -> None:
    async with debian.administration(name(shared)) as conn:
        await hold(conn, "indexing")
        tool = small.popen("storage", "migrate-tier", "--to", "standalone", "--target", shared, "--yes")
        await until_held(conn, tool)
        await conn.execute(
            "SET ROLE tenant; CREATE SCHEMA mosaic; GRANT USAGE ON SCHEMA mosaic TO gateway;"
            + _FUNCTION.format(name="mosaic.plant()", result="int", value="1")
            + ";CREATE VIEW mosaic.migrations AS SELECT 'core' AS component, mosaic.plant() AS version,"
            "'pre' AS phase, '' AS sha256, 'x' AS name; GRANT SELECT ON mosaic.migrations TO gateway"
        )
        await let_go(conn)
    out, err = await asyncio.to_thread(tool.communicate)
    assert not await planted(debian, shared), out + err
    assert (tool.returncode, "belongs to another role" in err) == (3, True), out + err


@pytest.mark.parametrize(
    ("function", "result", "value"),
    [
        ("public.hash_record_extended(record, integer)", "bigint", "0"),
        ("public.has_database_privilege(name, text)", "boolean", "true"),
        ("public.concat_ws(text, regclass, name, text, boolean)", "text", "'x'"),
    ],
)
async def test_a_function_that_fits_better_is_not_called(
    small: Home, debian: Postgres, shared: str, function: str, result: str, value: str
) -> None:
    async with debian.administration(name(shared)) as conn:
        await conn.execute("GRANT CREATE ON SCHEMA public TO tenant")
        await conn.execute("SET ROLE tenant;" + _FUNCTION.format(name=function, result=result, value=value))
    small.move(shared)
    assert not await planted(debian, shared)


async def test_a_schema_public_that_is_open_to_all_is_refused(
    small: Home, debian: Postgres, shared: str
) -> None:
    async with debian.administration(name(shared)) as conn:
        await conn.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")  # as it was before PostgreSQL 15
    assert "REVOKE CREATE ON SCHEMA public FROM PUBLIC" in small.migrate(shared, "--yes", code=3)


async def test_a_gateway_that_begins_to_use_the_source_meanwhile_would_lose_its_writes(
    small: Home, debian: Postgres
) -> None:
    url = await debian.new_database()
    async with debian.administration(name(url)) as conn:
        await hold(conn, "indexing")
        tool = small.popen("storage", "migrate-tier", "--to", "standalone", "--target", url, "--yes")
        await until_held(conn, tool)
        async with small.database():
            await let_go(conn)
            out, err = await asyncio.to_thread(tool.communicate)
    assert (tool.returncode, "is using the source database" in err) == (4, True), out + err
    assert small.move(url)["resumed"]
    assert await debian.content(url) == await small.content()
