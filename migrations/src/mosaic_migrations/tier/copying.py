"""Rows on their way: two pairs of connections, one snapshot, binary COPY, a short queue in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg

from mosaic_migrations.tier.locks import as_writer
from mosaic_migrations.tier.sides import INCOMING, LIVE, Progress, Route, sql, together
from mosaic_migrations.tier.staging import Part
from mosaic_migrations.tier.tables import Digest, Table, digest, in_pages, quoted

WORKERS = 2  # measured: four add nothing, the target's CPU is the limit
_QUEUED = 2  # buffers of up to 256 kB between reader and writer; bounds the memory


async def copy_parts(
    route: Route,
    snapshot: str,
    tables: Mapping[str, Table],
    parts: Sequence[Part],
    progress: Progress,
    total: int,
) -> list[Part]:
    """Copy what is not in yet, largest tables first; return all parts with the source's digests."""
    waiting = sorted((p for p in parts if p.digest is None), key=lambda p: tables[p.table].bytes)
    done = [part for part in parts if part.digest is not None]

    async def work() -> None:
        async with _reader(route, snapshot) as source, route.target.session() as target:
            await as_writer(target)
            while waiting:
                part = waiting.pop()
                done.append(await _copy(source, target, tables[part.table], part))
                progress("copying", sum(part.digest.rows for part in done if part.digest), total)

    await together(*(work() for _ in range(WORKERS)))
    return done


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
        async with _reader(route, snapshot) as source:
            while waiting and same:
                part = waiting.pop()
                same = same and await _digest(source, tables[part.table], part) == part.digest
                progress("checking what an earlier run copied", total - len(waiting), total)

    await together(*(work() for _ in range(WORKERS)))
    return same


@asynccontextmanager
async def _reader(route: Route, snapshot: str) -> AsyncIterator[asyncpg.Connection]:
    async with route.source.session() as source:
        await source.execute(sql.begin_snapshot)
        await source.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        yield source


async def _digest(source: asyncpg.Connection, table: Table, part: Part) -> Digest:
    names = [column.name for column in table.columns]
    return await digest(source, LIVE, table, names, in_pages(part.first_page, part.end_page))


async def _copy(source: asyncpg.Connection, target: asyncpg.Connection, table: Table, part: Part) -> Part:
    """Copy one part and note it, or neither."""
    found = await _digest(source, table, part)
    async with target.transaction():
        if found.rows:
            await _stream(source, target, table, part)
        values = (found.rows, found.low, found.high)
        await target.execute(sql.chunk_done, part.table, part.first_page, *values)
    return replace(part, digest=found)


async def _stream(source: asyncpg.Connection, target: asyncpg.Connection, table: Table, part: Part) -> None:
    names = [column.name for column in table.columns]
    columns = ", ".join(map(quoted, names))
    where = in_pages(part.first_page, part.end_page)
    query = f"SELECT {columns} FROM ONLY {quoted(LIVE, table.name)} WHERE {where}"  # noqa: S608
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUED)

    async def read() -> None:
        await source.copy_from_query(query, output=queue.put, format=table.format)
        await queue.put(None)

    async def write() -> None:
        await target.copy_to_table(
            table.name, schema_name=INCOMING, columns=names, source=_drained(queue), format=table.format
        )

    await together(read(), write())


async def _drained(queue: asyncio.Queue[bytes | None]) -> AsyncIterator[bytes]:
    while (data := await queue.get()) is not None:
        yield data
