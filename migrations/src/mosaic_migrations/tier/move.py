"""The whole move, in order."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from mosaic_hookspecs.errors import Unavailable
from mosaic_migrations.tier.copying import unchanged
from mosaic_migrations.tier.cutover import finish
from mosaic_migrations.tier.filling import Filling
from mosaic_migrations.tier.locks import be_alone, no_writer_left
from mosaic_migrations.tier.plan import Plan, check_source, check_target
from mosaic_migrations.tier.presence import already_there
from mosaic_migrations.tier.sides import AGAIN, INCOMING, LIVE, Progress, Route, explained, silent, sql
from mosaic_migrations.tier.staging import INDEXES, prepare, read_parts, read_steps
from mosaic_migrations.tier.tables import Checked, quoted, read_tables


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
                if there := await already_there(leader, target, tables):
                    return Report(tuple(there), 0, False, True, time.monotonic() - started)
                parts = await read_parts(target) or []
                resumed = bool(parts) and await unchanged(route, snapshot, tables, parts, progress)
                if not resumed:
                    parts = await prepare(target, route, identity, tables)
                before = sum(part.digest.rows for part in parts if part.digest)
                indexes = await read_steps(target, INDEXES)
                incoming = await read_tables(target, INCOMING)
                filling = Filling(tables, incoming, parts, indexes, progress, plan.rows)
                checked = await filling.run(route, snapshot)
                await finish(route, leader, target, checked, progress)
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
