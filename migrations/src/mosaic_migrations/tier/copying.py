"""Rows on their way: a part of a table at a time, read in one snapshot, hashed where they come from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import asyncpg

from mosaic_migrations.tier.relay import relay
from mosaic_migrations.tier.sides import INCOMING, LIVE, Progress, Route, sql, together
from mosaic_migrations.tier.staging import Part
from mosaic_migrations.tier.tables import Digest, Table, digest, in_pages, quoted

WORKERS = 2  # measured: four add nothing, the target's CPU is the limit


async def unchanged(
    route: Route, snapshot: str, tables: Mapping[str, Table], parts: Sequence[Part], progress: Progress
) -> bool:
    """Whether the source still has what an interrupted run took from it."""
    waiting = [part for part in parts if part.digest is not None]
    total, same = len(waiting), True
    if {part.table for part in parts} != set(tables):
        return False

    async def work() -> None:
        nonlocal same
        async with reader(route, snapshot) as source:
            while waiting and same:
                part = waiting.pop()
                if await _digest(source, tables[part.table], part) != part.digest:
                    same = False  # and never true again, whatever the other worker is at
                progress("checking what an earlier run copied", total - len(waiting), total)

    await together(*(work() for _ in range(WORKERS)))
    return same


@asynccontextmanager
async def reader(route: Route, snapshot: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that sees the source as of a snapshot."""
    async with route.source.session() as source:
        await source.execute(sql.begin_snapshot)
        await source.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        yield source


async def copy(source: asyncpg.Connection, target: asyncpg.Connection, table: Table, part: Part) -> Digest:
    """Copy one part and note it with the source's digest, or neither."""
    found = await _digest(source, table, part)
    async with target.transaction():
        if found.rows:
            await _stream(source, target, table, part)
        values = (found.rows, found.low, found.high)
        await target.execute(sql.chunk_done, part.table, part.first_page, *values)
    return found


async def _digest(source: asyncpg.Connection, table: Table, part: Part) -> Digest:
    names = [column.name for column in table.columns]
    return await digest(source, LIVE, table, names, in_pages(part.first_page, part.end_page))


async def _stream(source: asyncpg.Connection, target: asyncpg.Connection, table: Table, part: Part) -> None:
    columns = ", ".join(quoted(column.name) for column in table.columns)
    where = in_pages(part.first_page, part.end_page)
    rows = f"SELECT {columns} FROM ONLY {quoted(LIVE, table.name)} WHERE {where}"  # noqa: S608
    form = f"WITH (FORMAT {table.format})"
    await relay(
        source, f"COPY ({rows}) TO STDOUT {form}",
        target, f"COPY {quoted(INCOMING, table.name)} ({columns}) FROM STDIN {form}",
    )  # fmt: skip
