"""The whole move, in order."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from mosaic_hookspecs.errors import Unavailable
from mosaic_migrations.tier.copying import copy_parts, unchanged
from mosaic_migrations.tier.cutover import Checked, finish, refuse_foreign
from mosaic_migrations.tier.locks import be_alone, no_writer_left
from mosaic_migrations.tier.plan import Plan, check_source, check_target
from mosaic_migrations.tier.sides import AGAIN, LIVE, Progress, Route, explained, silent, sql
from mosaic_migrations.tier.staging import prepare, read_parts
from mosaic_migrations.tier.tables import Table, digest, occupied, quoted, read_tables


@dataclass(frozen=True, slots=True)
class Report:
    """What is on the target now. ``copied`` counts the rows of this run; 0 if all were there before."""

    tables: tuple[Checked, ...]
    copied: int
    resumed: bool
    already_there: bool
    seconds: float


async def move(route: Route, plan: Plan, progress: Progress = silent) -> Report:
    """Copy all tables to the target, check them there, and put them to use. The source is only read.

    Writers to the source wait meanwhile. Killed at any moment, of the tool or of either server, the same call
    goes on; done twice, it changes nothing. Raises :class:`Conflict` if either side is in use or the target
    holds other rows, :class:`ConfigError` if it cannot be moved there, :class:`Unavailable` if a side is lost.
    """
    started = time.monotonic()
    try:
        async with route.source.session() as leader, route.target.session() as target:
            identity = await check_source(leader, route.sets)
            await check_target(target, identity)
            await be_alone(target, "target")
            await be_alone(leader, "source")
            async with _snapshot(leader) as snapshot:
                await no_writer_left(target)
                tables = await read_tables(leader, LIVE)
                if there := await _already_there(leader, target, tables):
                    return Report(tuple(there), 0, False, True, time.monotonic() - started)
                parts = await read_parts(target) or []
                resumed = bool(parts) and await unchanged(route, snapshot, tables, parts, progress)
                if not resumed:
                    parts = await prepare(target, route, identity, tables)
                before = sum(part.digest.rows for part in parts if part.digest)
                parts = await copy_parts(route, snapshot, tables, parts, progress, plan.rows)
                checked = await finish(route, leader, target, tables, parts, progress)
    except asyncpg.PostgresError as error:
        raise explained(error) from error
    except Unavailable as error:  # of the migrations' runner, which knows no remedy
        raise error if error.remedy else Unavailable(error.detail, remedy=AGAIN) from error
    copied = sum(each.source.rows for each in checked) - before
    return Report(tuple(checked), copied, resumed, False, time.monotonic() - started)


@asynccontextmanager
async def _snapshot(leader: asyncpg.Connection) -> AsyncIterator[str]:
    """A snapshot for several readers. The locks keep writers, though not readers, waiting until the end."""
    names = [quoted(LIVE, name) for name in await read_tables(leader, LIVE)]
    await leader.execute(sql.begin_snapshot)
    await leader.execute(f"LOCK TABLE {', '.join(names)} IN SHARE MODE")  # before the snapshot is taken
    yield str(await leader.fetchval(sql.export_snapshot))
    await leader.execute("COMMIT")


async def _already_there(
    leader: asyncpg.Connection, target: asyncpg.Connection, tables: Mapping[str, Table]
) -> Sequence[Checked]:
    """All tables if the target already holds the source's rows, and nothing if it holds none."""
    there = await read_tables(target, LIVE)
    rows_in = await occupied(target, LIVE, there)
    if there and tables.keys() <= there.keys() and rows_in == await occupied(leader, LIVE, tables):
        checked = [await _compare(leader, target, tables[name], there[name]) for name in tables]
        if all(each.source == each.target for each in checked):
            return checked
        rows_in &= {each.name for each in checked if each.source != each.target} or rows_in
    await refuse_foreign(leader, target, rows_in)
    return []


async def _compare(
    leader: asyncpg.Connection, target: asyncpg.Connection, ours: Table, theirs: Table
) -> Checked:
    names = [column.name for column in ours.columns]
    if not set(names) <= {column.name for column in theirs.columns}:
        return Checked(
            ours.name, await digest(leader, LIVE, ours, names), await digest(target, LIVE, theirs, [])
        )
    return Checked(
        ours.name, await digest(leader, LIVE, ours, names), await digest(target, LIVE, theirs, names)
    )
