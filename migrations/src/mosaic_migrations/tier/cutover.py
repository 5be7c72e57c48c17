"""From all rows being there to the target being in use: checked, indexed, and swapped in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from mosaic_hookspecs.errors import ConfigError, Conflict, Unavailable
from mosaic_migrations.tier.copying import WORKERS
from mosaic_migrations.tier.locks import as_writer, refuse_users
from mosaic_migrations.tier.sides import INCOMING, LIVE, Progress, Route, sql, together
from mosaic_migrations.tier.staging import (
    CONSTRAINTS,
    FOREIGN_KEYS,
    PARTITIONS,
    TRIGGERS,
    is_replaceable,
    put_back,
    read_steps,
)
from mosaic_migrations.tier.tables import Checked, occupied, quoted, read_tables


async def finish(
    route: Route,
    leader: asyncpg.Connection,
    target: asyncpg.Connection,
    checked: Sequence[Checked],
    progress: Progress,
) -> None:
    """Put back the constraints, and swap the schemas, if every table is as the source's.

    Raises :class:`Unavailable` if a table differs, :class:`Conflict` if someone else began to use the target.
    """
    _refuse_differences(checked)
    for phase in (CONSTRAINTS, PARTITIONS, FOREIGN_KEYS):
        for step in await read_steps(target, phase):
            await put_back(target, step)
    by_rows = sorted(checked, key=lambda each: each.target.rows)
    await _analyze(route, [each.name for each in by_rows], progress)
    progress("cutting over", 0, 1)
    await _swap(leader, target)
    progress("cutting over", 1, 1)


async def _analyze(route: Route, names: Sequence[str], progress: Progress) -> None:
    waiting, finished = list(names), 0

    async def work() -> None:
        nonlocal finished
        async with route.target.session() as target:
            await as_writer(target)
            while waiting:
                await target.execute(f"ANALYZE {quoted(INCOMING, waiting.pop())}")
                finished += 1
                progress("gathering statistics", finished, len(names))

    await together(*(work() for _ in range(WORKERS)))


def _refuse_differences(checked: Sequence[Checked]) -> None:
    odd = [each for each in checked if each.source != each.target]
    if odd:
        names = ", ".join(f"{x.name} ({x.source.rows} rows, {x.target.rows} arrived)" for x in odd)
        raise Unavailable(
            f"the copy differs from the source, so it is not put to use: {names}",
            remedy=f"on the target: DROP SCHEMA mosaic_transfer, {INCOMING} CASCADE; then look at its disk and log "
            "before you try again",
        )


async def _swap(leader: asyncpg.Connection, target: asyncpg.Connection) -> None:
    await refuse_users(leader, "source")  # one that has begun meanwhile waits to write there
    async with target.transaction():
        await target.execute("SET LOCAL synchronous_commit = on")
        await _remove_empty(leader, target)
        for step in await read_steps(target, TRIGGERS):
            await target.execute(step.statement)
        job = await target.fetchrow(sql.job)
        if await target.fetchval(sql.structure, INCOMING) != job["structure"]:
            raise Unavailable(
                "an index, constraint or trigger is not as the migrations made it",
                remedy=f"on the target: DROP SCHEMA mosaic_transfer, {INCOMING} CASCADE; then start again",
            )
        await _set_sequences(leader, target)
        await target.execute("DROP SCHEMA mosaic_transfer CASCADE")
        await target.execute(f"ALTER SCHEMA {INCOMING} RENAME TO {LIVE}")


async def _remove_empty(leader: asyncpg.Connection, target: asyncpg.Connection) -> None:
    """Make room for the new tables, under locks, if those in their place are ours and still empty."""
    names = list(await read_tables(target, LIVE))
    await refuse_others(target, LIVE)  # after their names: from here on they cannot become others'
    if names:
        await target.execute(f"LOCK TABLE {', '.join(quoted(LIVE, name) for name in names)}")
    await refuse_foreign(leader, target, await occupied(target, LIVE, names))
    await target.execute(f"DROP SCHEMA IF EXISTS {LIVE} {'CASCADE' if names else 'RESTRICT'}")


async def refuse_others(target: asyncpg.Connection, schema: str) -> None:
    """Raise :class:`ConfigError` if a schema is another role's, whose views and types could run its functions."""
    if await target.fetchval(sql.schema_owner, schema) is False:
        raise ConfigError(
            f"the schema {schema} of the target belongs to another role",
            remedy=f"as a superuser: DROP SCHEMA {schema} if nobody needs it; or ALTER SCHEMA {schema} OWNER TO the "
            "role in --target",
        )


async def refuse_foreign(leader: asyncpg.Connection, target: asyncpg.Connection, rows_in: set[str]) -> None:
    """Raise :class:`Conflict` if the target holds rows, or tables of another release."""
    if rows_in:
        raise Conflict(
            f"the target holds rows that are not the source's, in {', '.join(sorted(rows_in))}",
            remedy=f"name an empty database in --target, or, if nobody needs them: DROP SCHEMA {LIVE} CASCADE there",
        )
    if not await is_replaceable(target, leader):
        raise Conflict(
            f"the target's schema {LIVE} is of a newer or older release, or not a gateway's",
            remedy=f"name an empty database in --target, or drop that schema: DROP SCHEMA {LIVE} CASCADE",
        )


async def _set_sequences(leader: asyncpg.Connection, target: asyncpg.Connection) -> None:
    for row in await leader.fetch(sql.sequences, LIVE):
        name = row["relname"]
        state = await leader.fetchrow(f"SELECT last_value, is_called FROM {quoted(LIVE, name)}")  # noqa: S608
        await target.fetchval(sql.set_sequence, quoted(INCOMING, name), *state)
