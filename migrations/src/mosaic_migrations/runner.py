"""Applies migration files: each once, in order, in its own transaction, one runner at a time.

By hand: Alembic cannot upgrade once a plugin with applied migrations is uninstalled, and takes no lock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import cache
from types import SimpleNamespace

import asyncpg

from mosaic_hookspecs.errors import ConfigError, Unavailable
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import MigrationSet, check_identifier
from mosaic_migrations.files import Key, Migration, discover, in_order
from mosaic_migrations.vector import create_vector, has_vector

LOCK_ID = 0x6D6F73616963  # "mosaic" in ASCII; the same for every gateway that shares a database
LOCK_WAIT = 60.0  # seconds
LOCK_POLL = 0.05  # seconds

SCHEMA = "mosaic"

_raw = load_queries("mosaic_migrations", "queries.sql")


@cache
def _in(schema: str) -> SimpleNamespace:
    """The queries, with the schema they are about."""
    check_identifier(schema, "schema")
    return SimpleNamespace(**{name: sql.format(schema=schema) for name, sql in vars(_raw).items()})


async def pending(conn: asyncpg.Connection, sets: Sequence[MigrationSet]) -> list[str]:
    """Names like ``core/0001_users.pre`` that :func:`migrate` would apply, in its order. Changes nothing.

    Raises :class:`ConfigError` if the files and the database contradict each other.
    """
    return [str(migration) for migration in await _pending(conn, sets, SCHEMA)]


async def migrate(
    conn: asyncpg.Connection, sets: Sequence[MigrationSet], *, vector: bool = False, schema: str = SCHEMA
) -> list[str]:
    """Apply what is pending and return its names, in order. Safe to run from many processes at once.

    With ``vector`` the extension pgvector is created first, unless it is there. Only a move to another
    database names a ``schema``: it builds the tables beside those in use.
    Raises :class:`ConfigError` if the files and the database contradict each other, or if a file fails
    (those before it stay applied), and :class:`Unavailable` if another runner keeps the lock for a minute
    or the connection is lost.
    """
    wants_vector = vector and not await has_vector(conn)
    if not wants_vector and not await _pending(conn, sets, schema):
        return []
    async with _alone(conn), _search_path(conn, schema):
        if wants_vector:
            await create_vector(conn)
        await _prepare(conn, schema)
        waiting = await _pending(conn, sets, schema)  # again: another runner may have been first
        for migration in waiting:
            await _apply(conn, migration, schema)
    return [str(migration) for migration in waiting]


async def components(conn: asyncpg.Connection) -> set[str]:
    """Whose migrations a database has, switched off or not."""
    return {component for component, _, _ in await _applied(conn, SCHEMA)}


async def _pending(conn: asyncpg.Connection, sets: Sequence[MigrationSet], schema: str) -> list[Migration]:
    installed = discover(sets)
    applied = await _applied(conn, schema)
    for key, (name, sha256) in applied.items():
        _check(key, name, sha256, installed, {one.component for one in sets})
    waiting = [migration for key, migration in installed.items() if key not in applied]
    return in_order(waiting, applied)


async def _applied(conn: asyncpg.Connection, schema: str) -> dict[Key, tuple[str, str]]:
    sql = _in(schema)
    if not await conn.fetchval(sql.exists):
        return {}
    rows = await conn.fetch(sql.applied)
    return {(row["component"], row["version"], row["phase"]): (row["name"], row["sha256"]) for row in rows}


def _check(key: Key, name: str, sha256: str, installed: dict[Key, Migration], components: set[str]) -> None:
    component, version, phase = key
    if component not in components:  # its plugin is switched off; its tables wait for it
        return
    file = f"{component}/{version:04}_{name}.{phase}.sql"
    if key not in installed:
        raise ConfigError(
            f"the database is newer than the software: it has migration {file}, which is not installed",
            remedy=f"upgrade {component!r} to the release that wrote this database, or restore a backup",
        )
    if installed[key].sha256 != sha256:
        raise ConfigError(
            f"migration {installed[key]}.sql was edited after it was applied",
            remedy="restore the file as it was released and put the change in a new migration",
        )


async def _prepare(conn: asyncpg.Connection, schema: str) -> None:
    sql = _in(schema)
    # Asked first: IF NOT EXISTS still wants the right to create, which a role of yours may not have.
    if not await conn.fetchval(sql.schema_exists):
        with _explained(conn, f"creating the schema {schema}", sql.create_schema):
            await conn.execute(sql.create_schema)
    if not await conn.fetchval(sql.exists):
        with _explained(conn, f"creating the table {schema}.migrations", sql.create_table):
            await conn.execute(sql.create_table)


async def _apply(conn: asyncpg.Connection, migration: Migration, schema: str) -> None:
    with _explained(conn, f"migration {migration}.sql", migration.sql):
        async with conn.transaction() if migration.in_transaction else nullcontext():
            await conn.execute(migration.sql)
            await conn.execute(_in(schema).record, *migration.key, migration.slug, migration.sha256)


@contextmanager
def _explained(conn: asyncpg.Connection, what: str, sql: str) -> Iterator[None]:
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        if conn.is_closed():
            raise Unavailable(f"{what}: the connection to the database was lost") from error
        # Only the first line of Postgres: its DETAIL may quote rows.
        position = getattr(error, "position", None)
        line = f" (line {sql.count(chr(10), 0, int(position) - 1) + 1})" if position else ""
        raise ConfigError(
            f"{what} failed{line}: {error.args[0]}",
            remedy="the files before it stay applied; mend it and start again",
        ) from error


@asynccontextmanager
async def _alone(conn: asyncpg.Connection) -> AsyncIterator[None]:
    """Hold the advisory lock. Polled: the blocking form deadlocks with CREATE INDEX CONCURRENTLY."""
    deadline = time.monotonic() + LOCK_WAIT
    while not await conn.fetchval(_raw.try_lock, LOCK_ID):
        if time.monotonic() > deadline:
            raise Unavailable(
                f"another process has been migrating this database for more than {LOCK_WAIT:.0f} s",
                remedy="wait for it to end, or look for it in pg_stat_activity and pg_locks",
            )
        await asyncio.sleep(LOCK_POLL)
    try:
        yield
    finally:
        if not conn.is_closed():
            await conn.fetchval(_raw.unlock, LOCK_ID)


@asynccontextmanager
async def _search_path(conn: asyncpg.Connection, schema: str) -> AsyncIterator[None]:
    before = await conn.fetchval(_raw.search_path)
    await conn.fetchval(_raw.set_search_path, f"{schema}, public")
    try:
        yield
    finally:
        if not conn.is_closed():
            await conn.fetchval(_raw.set_search_path, before)
