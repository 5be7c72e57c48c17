"""All tables at once: rows, then indexes and checks, by two workers that always take what is most urgent.

An index of another kind than a B-tree takes one core for longer than all else takes the others: a table that has
one is copied first, so that the index is built while the rest comes in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count

import asyncpg

from mosaic_migrations.tier.copying import WORKERS, copy, reader
from mosaic_migrations.tier.locks import as_writer
from mosaic_migrations.tier.sides import INCOMING, Progress, Route, together
from mosaic_migrations.tier.staging import Part, Step, put_back
from mosaic_migrations.tier.tables import Checked, Digest, Table, digest

Task = Callable[[asyncpg.Connection, asyncpg.Connection], Awaitable[None]]
_SLOW_INDEX, _ROWS, _REST, _END = range(4)  # by urgency


@dataclass
class Filling:
    """What is left to do to have all rows on the target, indexed and checked. ``tables`` are the source's."""

    tables: Mapping[str, Table]
    incoming: Mapping[str, Table]
    parts: Sequence[Part]
    indexes: Sequence[Step]
    progress: Progress
    rows: int
    checked: list[Checked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._queue: asyncio.PriorityQueue[tuple[int, int, Task | None]] = asyncio.PriorityQueue()
        self._numbers = count()
        self._arrived = dict.fromkeys(self.tables, Digest())
        self._missing = dict.fromkeys(self.tables, 0)
        self._finished = 0

    async def run(self, route: Route, snapshot: str) -> list[Checked]:
        """Do it all; the source is read as of ``snapshot``."""
        self._begin()
        await together(self._end(), *(self._work(route, snapshot) for _ in range(WORKERS)))
        return sorted(self.checked, key=lambda each: each.name)

    def _begin(self) -> None:
        slow = {index.table for index in self.indexes if index.slow}
        for part in self.parts:
            self._arrived[part.table] += part.digest or Digest()
            self._missing[part.table] += part.digest is None
        for part in sorted(self.parts, key=lambda p: (p.table not in slow, -self.tables[p.table].bytes)):
            if part.digest is None:
                self._add(_ROWS, partial(self._copy, part))
        for name, missing in self._missing.items():
            if not missing:
                self._complete(name)

    def _complete(self, name: str) -> None:
        """All rows of a table are in."""
        self._add(_REST, partial(self._check, name))
        for index in self.indexes:
            if index.table == name:
                self._add(_SLOW_INDEX if index.slow else _REST, partial(self._build, index))

    async def _copy(self, part: Part, source: asyncpg.Connection, target: asyncpg.Connection) -> None:
        found = await copy(source, target, self.tables[part.table], part)
        self._arrived[part.table] += found
        self.progress("copying", sum(each.rows for each in self._arrived.values()), self.rows)
        self._missing[part.table] -= 1
        if not self._missing[part.table]:
            self._complete(part.table)

    async def _check(self, name: str, _source: asyncpg.Connection, target: asyncpg.Connection) -> None:
        names = [column.name for column in self.tables[name].columns]
        found = await digest(target, INCOMING, self.incoming[name], names)
        self.checked.append(Checked(name, self._arrived[name], found))
        self._tell()

    async def _build(self, index: Step, _source: asyncpg.Connection, target: asyncpg.Connection) -> None:
        await put_back(target, index)
        self._tell()

    def _tell(self) -> None:
        self._finished += 1
        self.progress("indexing and checking", self._finished, len(self.tables) + len(self.indexes))

    def _add(self, urgency: int, task: Task | None) -> None:
        self._queue.put_nowait((urgency, next(self._numbers), task))

    async def _work(self, route: Route, snapshot: str) -> None:
        async with reader(route, snapshot) as source, route.target.session() as target:
            await as_writer(target)
            while (task := (await self._queue.get())[2]) is not None:
                await task(source, target)
                self._queue.task_done()

    async def _end(self) -> None:
        await self._queue.join()
        for _ in range(WORKERS):
            self._add(_END, None)
