"""Look at both sides before anything is changed: may this move happen, and how long will it take?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from mosaic_hookspecs.errors import ConfigError, Conflict
from mosaic_hookspecs.types import MigrationSet
from mosaic_migrations.runner import pending
from mosaic_migrations.tier.cutover import refuse_others
from mosaic_migrations.tier.locks import be_alone, refuse_users
from mosaic_migrations.tier.presence import already_there
from mosaic_migrations.tier.sides import INCOMING, JOB, LIVE, RECORD, Route, explained, sql
from mosaic_migrations.tier.tables import quoted, read_tables

OLDEST = 150000  # server_version_num
_BYTES_PER_SECOND = 40_000_000  # two cores, indexes and verification included; a guess for other machines


@dataclass(frozen=True, slots=True)
class PlannedTable:
    """What one table holds. ``bytes`` is without indexes."""

    name: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class LeftView:
    """A view of tables that are others': it has no rows to move, and they stay where they are."""

    name: str
    reads: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be moved, and to which server."""

    tables: tuple[PlannedTable, ...]
    views: tuple[LeftView, ...]
    target_version: str
    encrypted: bool
    unfinished: bool  # an earlier run was interrupted: this one goes on with it
    already_there: bool  # the target holds these rows and no others: there is nothing to do

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def bytes(self) -> int:
        """Size of all tables without indexes, bytes."""
        return sum(table.bytes for table in self.tables)

    @property
    def seconds(self) -> float:
        """A guess of how long it takes."""
        return 2 + self.bytes / _BYTES_PER_SECOND


async def make_plan(route: Route) -> Plan:
    """Examine both sides and change neither. Raises what :func:`mosaic_migrations.tier.move` would."""
    try:
        async with route.source.session() as source, route.target.session() as target:
            identity = await check_source(source, route.sets)
            about = await check_target(target, identity)
            await be_alone(target, "target")
            await be_alone(source, "source")
            tables = await read_tables(source, LIVE)
            there = bool(await already_there(source, target, tables))
            planned = [PlannedTable(t.name, await _count(source, t.name), t.bytes) for t in tables.values()]
            views = [LeftView(row["name"], row["reads"]) for row in await source.fetch(sql.views, LIVE)]
            unfinished = bool(await target.fetchval(sql.is_ours, JOB))
    except asyncpg.PostgresError as error:
        raise explained(error) from error
    return Plan(
        tuple(planned), tuple(views), about["version_text"], bool(about["encrypted"]), unfinished, there
    )


async def _count(source: asyncpg.Connection, name: str) -> int:
    return int(await source.fetchval(f"SELECT count(*) FROM {quoted(LIVE, name)}"))  # noqa: S608


async def check_source(source: asyncpg.Connection, sets: Sequence[MigrationSet]) -> str:
    """Raise unless all of the source can be moved now; return which database it is."""
    about = await _about(source, "source")
    if not await source.fetchval(sql.has_migrations):
        raise ConfigError(
            "the source holds no gateway yet", remedy="start it once, or just change the config"
        )
    if waiting := await pending(source, sets):
        raise ConfigError(
            f"the source's schema is older than the software: {', '.join(waiting)} not applied",
            remedy="start the gateway once, stop it, and give this command again",
        )
    known = {each.component for each in sets}
    if left := {row["component"] for row in await source.fetch(sql.components)} - known:
        raise ConfigError(
            f"the source holds tables of {', '.join(sorted(left))}, which the config does not name",
            remedy="name these plugins in the config, so that their rows come along",
        )
    if odd := await source.fetchval(sql.uncopyable, LIVE):
        raise ConfigError(
            f"foreign or materialized, so not copied: {', '.join(odd)}",
            remedy="make plain tables of them first",
        )
    await refuse_users(source, "source")
    return str(about["identity"])


async def check_target(target: asyncpg.Connection, source: str) -> asyncpg.Record:
    """Raise unless the target is another, writable database that holds nothing of others'."""
    about = await _about(target, "target")
    if about["identity"] == source:
        raise Conflict("the target is the source", remedy="name another database in --target")
    if about["version"] < OLDEST:
        raise ConfigError(
            f"the target is Postgres {about['version_text']}, and {OLDEST // 10000} is the oldest that will do",
            remedy="upgrade the target's server",
        )
    if about["replica"]:
        raise ConfigError("the target is a read-only replica", remedy="name its primary in --target")
    if about["encoding"] != "UTF8":
        raise ConfigError(
            f"the target database is encoded in {about['encoding']}",
            remedy=f"make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0 OWNER {about['role']}",
        )
    if not about["may_create"]:
        raise ConfigError(
            f"{about['role']} may not create a schema in the target database",
            remedy=f"as its owner: GRANT CREATE ON DATABASE {about['name']} TO {about['role']}",
        )
    await refuse_users(target, "target")
    await _check_schemas(target, source)
    return about


async def _check_schemas(target: asyncpg.Connection, source: str) -> None:
    if await target.fetchval(sql.public_is_open):
        raise ConfigError(
            "every role may create objects in the schema public of the target, such as functions that would be called "
            "with the gateway's rights",
            remedy="as its owner, in this database: REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        )
    for schema in (LIVE, INCOMING, RECORD):
        await refuse_others(target, schema)
    has_job = await target.fetchval(sql.is_ours, JOB)
    if not has_job and await target.fetchval(sql.relations, INCOMING):
        raise Conflict(
            f"the target has a schema {INCOMING} that no migrate-tier made", remedy="rename or drop it"
        )
    job = await target.fetchrow(sql.job) if has_job else None
    if job and job["source"] != source:
        raise Conflict(
            "the target holds an unfinished migrate-tier from another source",
            remedy=f"finish that one, or give it up: DROP SCHEMA mosaic_transfer, {INCOMING} CASCADE",
        )


async def _about(connection: asyncpg.Connection, side: str) -> asyncpg.Record:
    about = await connection.fetchrow(sql.about)
    if about is None:
        raise ConfigError(f"the {side} does not say which database it is", remedy="connect without a pooler")
    return about
