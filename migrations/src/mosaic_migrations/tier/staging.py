"""The target before the cut-over: tables in a schema of their own, and a record of what is done.

Schema ``mosaic_incoming`` has the tables, made by the ordinary migrations, then stripped of indexes, constraints
and triggers. Schema ``mosaic_transfer`` has the record: which parts of which tables are in, what is put back. Each
part is committed together with its line there, so that a kill at any moment leaves nothing in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from mosaic_hookspecs.errors import ConfigError
from mosaic_migrations.runner import migrate
from mosaic_migrations.tier.sides import INCOMING, JOB, LIVE, Route, sql
from mosaic_migrations.tier.tables import Digest, Table, quoted, read_tables

# A part is what is committed, and at most copied anew, at once. Small, so that no worker waits long for the last
# one; but not too many of them, for the memory of this process.
PART_BYTES = 8 * 1024 * 1024  # of a table with its TOAST
INDEXES, CONSTRAINTS, FOREIGN_KEYS, TRIGGERS, PARTITIONS = 1, 2, 3, 4, 5  # phases of the steps
GIN_MEMORY = "16MB"  # measured: with more, its tree of words no longer fits the processor's caches
MOST_PARTS = 1000  # of one table


@dataclass(frozen=True, slots=True)
class Part:
    """Some pages of a table; ``digest`` is that of the source once they are in."""

    table: str
    first_page: int
    end_page: int | None  # None for the last part
    digest: Digest | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """An index, constraint or trigger that was taken off, and how it is put back."""

    number: int
    table: str
    method: str | None  # of an index: btree, gin, hnsw …
    statement: str

    @property
    def slow(self) -> bool:
        """Whether it is an index that takes a core for long."""
        return self.method not in (None, "btree")


async def read_parts(target: asyncpg.Connection) -> list[Part] | None:
    """Parts of an interrupted move, or None if there is none that came this far."""
    if not await target.fetchval(sql.is_ours, JOB):
        return None
    if (await target.fetchrow(sql.job))["structure"] is None:
        return None
    return [_part(row) for row in await target.fetch(sql.chunks)]


def _part(row: asyncpg.Record) -> Part:
    done = None if row["rows"] is None else Digest(row["rows"], int(row["low"]), int(row["high"]))
    return Part(row["relation"], row["first_page"], row["end_page"], done)


async def prepare(
    target: asyncpg.Connection, route: Route, source: str, tables: Mapping[str, Table]
) -> list[Part]:
    """Make the incoming tables anew, empty and bare. Raises :class:`ConfigError` if they differ from the source's."""
    for schema in (INCOMING, "mosaic_transfer"):  # the record last: without it the tables would be someone's
        await target.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    async with target.transaction():
        await target.execute(sql.create_job)
        await target.execute(sql.add_job, source)
    await migrate(target, route.sets, vector=route.vector, schema=INCOMING)
    parts = [part for table in tables.values() for part in _cut(table)]
    async with target.transaction():
        await _make_partitions(target, tables)
        _check_same(tables, await read_tables(target, INCOMING))
        structure = await target.fetchval(sql.structure, INCOMING)
        await _strip(target)
        await target.execute("TRUNCATE " + ", ".join(quoted(INCOMING, name) for name in tables))
        await target.executemany(sql.add_chunk, [(p.table, p.first_page, p.end_page) for p in parts])
        await target.execute(sql.prepared, structure)
    return parts


def _cut(table: Table) -> list[Part]:
    step = max(1, table.pages * PART_BYTES // max(table.bytes, 1), table.pages // MOST_PARTS)
    starts = list(range(0, max(table.pages, 1), step))
    return [Part(table.name, a, b) for a, b in zip(starts, [*starts[1:], None], strict=True)]


async def _make_partitions(target: asyncpg.Connection, source: Mapping[str, Table]) -> None:
    """Divide tables as the source does: partitions are made and dropped as time goes by, not by migrations."""
    made = await read_tables(target, INCOMING)
    for name, table in list(made.items()):
        if table.partition and (name not in source or source[name].partition != table.partition):
            await target.execute(f"DROP TABLE {quoted(INCOMING, name)}")
            del made[name]
    for name, table in source.items():
        if table.partition and name not in made:
            whole = quoted(INCOMING, table.partition.of)
            await target.execute(
                f"CREATE TABLE {quoted(INCOMING, name)} PARTITION OF {whole} {table.partition.bound}"
            )
            for trigger in table.partition.triggers:
                await target.execute(trigger)


def _check_same(source: Mapping[str, Table], target: Mapping[str, Table]) -> None:
    """Every column of the source has its place; what the target has beyond that stays as its migrations left it."""
    odd = []
    for name, table in source.items():
        types = {column.name: column.type for column in target[name].columns} if name in target else {}
        odd += [f"{name}.{c.name}" for c in table.columns if types.get(c.name) != c.type]
    if odd:
        raise ConfigError(
            f"the installed plugins make no such columns as the source has: {', '.join(odd)}",
            remedy="name the plugin that made them in the config, or drop what no plugin made",
        )


async def _strip(target: asyncpg.Connection) -> None:
    steps = await target.fetch(sql.later, INCOMING)
    for step in steps:
        if step["take_off"]:
            await target.execute(step["take_off"])
    lines = [(n, s["phase"], s["relation"], s["method"], s["put_back"]) for n, s in enumerate(steps)]
    await target.executemany(sql.add_step, lines)


async def read_steps(target: asyncpg.Connection, phase: int) -> list[Step]:
    """What is still to be put back, of one of the phases."""
    return [Step(*row) for row in await target.fetch(sql.steps, phase)]


async def put_back(target: asyncpg.Connection, step: Step) -> None:
    """Build one index or constraint, and note it, or neither."""
    async with target.transaction():
        if step.method == "gin":
            await target.execute(f"SET LOCAL maintenance_work_mem = '{GIN_MEMORY}'")
        await target.execute(step.statement)
        await target.execute(sql.step_done, step.number)


async def is_replaceable(target: asyncpg.Connection, source: asyncpg.Connection) -> bool:
    """Whether what stands in the live schema of the target, without rows, is of the same release."""
    if not await target.fetchval(sql.is_ours, f"{LIVE}.migrations"):
        return not await target.fetchval(sql.relations, LIVE)
    applied = await target.fetch(sql.applied)
    return {tuple(row) for row in applied} == {tuple(row) for row in await source.fetch(sql.applied)}
