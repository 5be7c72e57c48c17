"""From all rows being there to the target being in use: checked, indexed, and swapped in one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from mosaic_hookspecs.errors import Conflict, Unavailable
from mosaic_migrations.tier.copying import WORKERS
from mosaic_migrations.tier.locks import as_writer
from mosaic_migrations.tier.sides import INCOMING, LIVE, Progress, Route, sql, together
from mosaic_migrations.tier.staging import Part, is_replaceable, put_back
from mosaic_migrations.tier.tables import Digest, Table, digest, occupied, quoted, read_tables

Task = Callable[[asyncpg.Connection], Awaitable[None]]
_INDEXES, _CONSTRAINTS, _FOREIGN_KEYS, _TRIGGERS = 1, 2, 3, 4  # phases of the steps


@dataclass(frozen=True, slots=True)
class Checked:
    """A table with the content hash of either side."""

    name: str
    source: Digest
    target: Digest


async def finish(
    route: Route,
    leader: asyncpg.Connection,
    target: asyncpg.Connection,
    tables: Mapping[str, Table],
    parts: Sequence[Part],
    progress: Progress,
) -> list[Checked]:
    """Check every table against the source, put back what was taken off, and swap the schemas.

    Raises :class:`Unavailable` if a table differs, :class:`Conflict` if someone else began to use the target.
    """
    checked: list[Checked] = []
    expected = {
        name: sum((p.digest for p in parts if p.table == name and p.digest), Digest()) for name in tables
    }
    incoming = await read_tables(target, INCOMING)

    def check(name: str) -> Task:
        async def task(connection: asyncpg.Connection) -> None:
            names = [column.name for column in tables[name].columns]
            found = await digest(connection, INCOMING, incoming[name], names)
            checked.append(Checked(name, expected[name], found))

        return task

    by_size = sorted(tables, key=lambda name: tables[name].bytes, reverse=True)
    indexes = [_step(row) for row in await target.fetch(sql.steps, _INDEXES)]
    await _pool(route, "indexing and checking", [*map(check, by_size), *indexes], progress)
    _refuse_differences(checked)
    for phase in (_CONSTRAINTS, _FOREIGN_KEYS):
        for row in await target.fetch(sql.steps, phase):
            await put_back(target, row["id"], row["statement"])
    await _pool(route, "gathering statistics", [_analyze(name) for name in by_size], progress)
    progress("cutting over", 0, 1)
    await _swap(leader, target)
    progress("cutting over", 1, 1)
    return sorted(checked, key=lambda each: each.name)


def _step(row: asyncpg.Record) -> Task:
    return lambda connection: put_back(connection, row["id"], row["statement"])


def _analyze(name: str) -> Task:
    async def task(connection: asyncpg.Connection) -> None:
        await connection.execute(f"ANALYZE {quoted(INCOMING, name)}")

    return task


async def _pool(route: Route, what: str, tasks: Sequence[Task], progress: Progress) -> None:
    waiting = list(reversed(tasks))
    finished = 0

    async def work() -> None:
        nonlocal finished
        async with route.target.session() as target:
            await as_writer(target)
            while waiting:
                await waiting.pop()(target)
                finished += 1
                progress(what, finished, len(tasks))

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
    async with target.transaction():
        await target.execute("SET LOCAL synchronous_commit = on")
        await _remove_empty(leader, target)
        for row in await target.fetch(sql.steps, _TRIGGERS):
            await target.execute(row["statement"])
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
    if names:
        await target.execute(f"LOCK TABLE {', '.join(quoted(LIVE, name) for name in names)}")
    await refuse_foreign(leader, target, await occupied(target, LIVE, names))
    await target.execute(f"DROP SCHEMA IF EXISTS {LIVE} {'CASCADE' if names else 'RESTRICT'}")


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
