"""The log as it stands in the database, read page by page."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Any, Protocol, TypeVar
from uuid import UUID

from mosaic_audit.chain import START
from mosaic_audit.checkpoints import Span
from mosaic_hookspecs.audit import AuditCheckpoint
from mosaic_hookspecs.protocols import Queries
from mosaic_hookspecs.sql import load_queries

_PAGE = 1000  # rows: read from the wire in one go, 5 ms
_CHECKPOINTS = 200  # in a page: with each come a few spans of every process
_WORK = 1e-3  # seconds that a page may keep the event loop
_PAUSE = 1e-3  # seconds; not 0: while the loop is never idle, the writer waits for rows to share a commit

T = TypeVar("T")

_sql = load_queries("mosaic_audit", "queries.sql")


@dataclass(frozen=True, slots=True)
class Filed:
    """A checkpoint, where it was found, and what is said to be covered by it, in any order."""

    number: int
    at: datetime
    checkpoint: AuditCheckpoint
    spans: Sequence[Span]


@dataclass(frozen=True, slots=True)
class Part:
    """Which rows of a log are looked at: those after checkpoint ``base``, or what was given up with ``archive``."""

    base: int = 0
    archive: int | None = None


class Stretch:
    """Where a part of a log begins and ends in one stream, and what of it was signed."""

    def __init__(self, part: Part, spans: Sequence[tuple[int, Span]]) -> None:
        def given_up(number: int, span: Span) -> bool:
            return span.retired and (part.archive is None or number < part.archive)

        before = [span for number, span in spans if number <= part.base or given_up(number, span)]
        self.start = max(before, key=lambda span: span.last, default=None)
        self.seq, self.head = (self.start.last, self.start.head) if self.start else (0, START)
        self.end = next(
            (span.last for number, span in spans if span.retired and number == part.archive), None
        )
        if part.archive is not None and self.end is None:
            self.end = self.seq  # nothing of this stream went
        self.spans = [
            (number, span)
            for number, span in spans
            if span.last > self.seq
            and (self.end is None or span.last <= self.end)
            and (not span.retired or number == part.archive)
        ]


class Source(Protocol):
    """What can be verified: the database, or an exported file."""

    part: Part

    def checkpoints(self) -> AsyncIterator[Filed]:
        """In order of their numbers."""
        ...

    async def spans_of_stream(self, stream: UUID) -> Sequence[tuple[int, Span]]:
        """With the number of each one's checkpoint, in order."""
        ...

    async def stray_span(self) -> int | None:
        """The number of a checkpoint that is not there, though what it covers is."""
        ...

    async def streams(self) -> Sequence[UUID]:
        """All that have rows or spans."""
        ...

    def rows(self, stream: UUID, after: int, last: int | None) -> AsyncIterator[Mapping[str, Any]]:
        """In order of their numbers, from the one after ``after`` to ``last``."""
        ...


class Stored:
    """Implements :class:`Source`. The event loop goes on while it is read."""

    def __init__(self, database: Queries, part: Part = Part()) -> None:
        self._database = database
        self.part = part

    @classmethod
    async def since(cls, database: Queries, moment: datetime | None) -> Stored:
        """From the last checkpoint before a moment."""
        base = await database.fetchval(_sql.checkpoint_before, moment) if moment else 0
        return cls(database, Part(base))

    async def checkpoints(self) -> AsyncIterator[Filed]:
        """Page by page."""
        number = 0
        while page := await self._database.fetch(_sql.checkpoints, number, _CHECKPOINTS):
            spans = await self._spans(number, page[-1]["number"])
            async for row in _paced(page):
                checkpoint = AuditCheckpoint(row["payload"], row["signature"])
                yield Filed(row["number"], row["at"], checkpoint, spans.get(row["number"], ()))
            number = page[-1]["number"]

    async def _spans(self, after: int, last: int) -> Mapping[int, Sequence[Span]]:
        """By the number of their checkpoint."""
        spans: dict[int, list[Span]] = defaultdict(list)
        async for row in _paced(await self._database.fetch(_sql.spans_of_checkpoints, after, last)):
            spans[row["checkpoint"]].append(Span.read(row))
        return spans

    async def spans_of_stream(self, stream: UUID) -> Sequence[tuple[int, Span]]:
        """By index."""
        rows = await self._database.fetch(_sql.spans_of_stream, stream)
        return [(row["checkpoint"], Span.read(row)) async for row in _paced(rows)]

    async def stray_span(self) -> int | None:
        """By an anti-join."""
        number: int | None = await self._database.fetchval(_sql.stray_span)
        return number

    async def streams(self) -> Sequence[UUID]:
        """By the index of both tables."""
        return [row["stream"] for row in await self._database.fetch(_sql.streams)]

    async def rows(self, stream: UUID, after: int, last: int | None) -> AsyncIterator[Mapping[str, Any]]:
        """Page by page. Of two rows with one number both are given."""
        at: datetime | None = None
        while page := await self._database.fetch(_sql.rows, stream, after, at, _PAGE):
            async for row in _paced(page):
                if last is not None and row["seq"] > last:
                    return
                yield row
            after, at = page[-1]["seq"], page[-1]["at"]


async def _paced(page: Iterable[T]) -> AsyncIterator[T]:
    """All of a page, with pauses: a gateway answers while it verifies its log."""
    since = perf_counter()
    for item in page:
        yield item
        if perf_counter() - since > _WORK:
            await asyncio.sleep(_PAUSE)
            since = perf_counter()
