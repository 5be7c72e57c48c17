"""pgvector is made where it is wanted, before migrations, once; and nothing changes where it is not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from mosaic_gateway.database import connect
from mosaic_hookspecs.errors import ConfigError
from mosaic_migrations import CORE
from mosaic_migrations.runner import migrate
from mosaic_migrations.vector import has_vector

if TYPE_CHECKING:
    from conftest import TcpPostgres

PAGES = "CREATE TABLE pages (title text NOT NULL); SELECT make_resource('pages', '{title}');"


@pytest.fixture
async def connection(vector_postgres: TcpPostgres) -> Any:
    """An empty database of a role that may create extensions: pgvector asks for a superuser."""
    database = await vector_postgres.new_database()
    connection = await connect(replace(vector_postgres.superuser, database=database))
    yield connection
    await connection.close()


async def test_the_extension_is_there_before_the_first_migration(connection: Any) -> None:
    await migrate(connection, [CORE], vector=True)
    assert await has_vector(connection)
    assert await migrate(connection, [CORE], vector=True) == []


async def test_it_can_be_turned_on_later(connection: Any) -> None:
    await migrate(connection, [CORE])
    assert not await has_vector(connection)
    assert await migrate(connection, [CORE], vector=True) == []
    assert await has_vector(connection)


async def test_many_gateways_may_start_at_once(vector_postgres: TcpPostgres) -> None:
    database = await vector_postgres.new_database()
    location = replace(vector_postgres.superuser, database=database)
    connections = [await connect(location) for _ in range(4)]
    applied = await asyncio.gather(*(migrate(each, [CORE], vector=True) for each in connections))
    assert sum(map(bool, applied)) == 1
    for each in connections:
        await each.close()


async def test_a_server_without_pgvector_is_told_apart(server_postgres: TcpPostgres) -> None:
    connection = await connect(server_postgres.location(await server_postgres.new_database()))
    with pytest.raises(ConfigError, match="has no pgvector") as refused:
        await migrate(connection, [CORE], vector=True)
    assert "storage.enable_vector" in refused.value.remedy
    assert await migrate(connection, [CORE])  # without it all is well
    await connection.close()


async def test_a_role_that_may_not_create_it_is_told_whom_to_ask(vector_postgres: TcpPostgres) -> None:
    database = await vector_postgres.new_database()
    connection = await connect(vector_postgres.location(database))
    with pytest.raises(ConfigError, match="may not create") as refused:
        await migrate(connection, [CORE], vector=True)
    assert "CREATE EXTENSION vector" in refused.value.remedy
    await vector_postgres.execute("CREATE EXTENSION vector", database=database)
    assert await migrate(connection, [CORE], vector=True)  # a superuser has done it
    await connection.close()


async def test_vectors_are_stored_in_the_page_indexed_and_deleted_with_their_row(connection: Any) -> None:
    await migrate(connection, [CORE], vector=True)
    await connection.execute(PAGES + "SELECT make_vectors('pages', 3)")
    storage = "SELECT attstorage FROM pg_attribute WHERE attrelid = 'pages_vectors'::regclass AND attname = 'embedding'"
    assert await connection.fetchval(storage) == b"p"
    assert "hnsw" in await connection.fetchval(
        "SELECT indexdef FROM pg_indexes WHERE indexname ~ 'vectors_hnsw'"
    )
    user = await connection.fetchval("INSERT INTO users (username) VALUES ('lead') RETURNING id")
    page = await connection.fetchval(
        "INSERT INTO pages (title, owner_id) VALUES ('a', $1) RETURNING id", user
    )
    assert await connection.fetchval("SELECT id FROM pages_vectors WHERE embedding IS NULL") == page
    await connection.execute("UPDATE pages_vectors SET embedding = '[1,0,0]'")
    assert await connection.fetchval("SELECT embedding <=> '[0,1,0]' FROM pages_vectors") == 1.0
    await connection.execute("DELETE FROM pages")
    assert await connection.fetchval("SELECT count(*) FROM pages_vectors") == 0


async def test_the_largest_vector_that_can_be_indexed_fits_into_a_page(connection: Any) -> None:
    await migrate(connection, [CORE], vector=True)
    await connection.execute(PAGES + "SELECT make_vectors('pages', 2000)")
    user = await connection.fetchval("INSERT INTO users (username) VALUES ('lead') RETURNING id")
    page = await connection.fetchval(
        "INSERT INTO pages (title, owner_id) VALUES ('a', $1) RETURNING id", user
    )
    await connection.execute(
        "UPDATE pages_vectors SET embedding = $2::text::vector WHERE id = $1", page, str([0.5] * 2000)
    )


async def test_a_row_waits_for_a_vector_when_it_is_new_or_its_text_has_changed(connection: Any) -> None:
    await migrate(connection, [CORE], vector=True)
    await connection.execute(PAGES)
    user = await connection.fetchval("INSERT INTO users (username) VALUES ('lead') RETURNING id")
    insert = "INSERT INTO pages (title, owner_id) VALUES ($1, $2)"
    await connection.execute(insert, "before", user)
    await connection.execute("SELECT make_vectors('pages', 3)")
    await connection.execute(insert, "after", user)
    waiting = (
        "SELECT title FROM pages JOIN pages_vectors USING (id) WHERE embedding IS NULL ORDER BY title DESC"
    )

    async def wait() -> list[str]:
        return [row["title"] for row in await connection.fetch(waiting)]

    assert await wait() == ["before", "after"]
    await connection.execute("UPDATE pages_vectors SET embedding = '[1,0,0]'")
    await connection.execute("UPDATE pages SET title = title, version = version + 1")
    assert await wait() == []
    await connection.execute("UPDATE pages SET title = 'the after' WHERE title = 'after'")
    assert await wait() == ["the after"]


async def test_only_what_has_text_to_search_gets_vectors(connection: Any) -> None:
    await migrate(connection, [CORE], vector=True)
    await connection.execute("CREATE TABLE beds (title text); SELECT make_resource('beds')")
    with pytest.raises(asyncpg.RaiseError, match="without search columns"):
        await connection.execute("SELECT make_vectors('beds', 3)")


async def test_more_dimensions_than_an_index_takes_are_refused(connection: Any) -> None:
    await migrate(connection, [CORE], vector=True)
    with pytest.raises(asyncpg.RaiseError, match="1 to 2000"):
        await connection.execute(PAGES + "SELECT make_vectors('pages', 2001)")


async def test_without_the_extension_the_helper_says_what_to_set(pool: Any) -> None:
    with pytest.raises(asyncpg.RaiseError, match="no type vector") as refused:
        await pool.execute("SELECT make_vectors('pages', 3)")
    assert "storage.enable_vector" in refused.value.hint
