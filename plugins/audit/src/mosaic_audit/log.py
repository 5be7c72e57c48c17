"""Read the log back, and check its chains."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from mosaic_audit.chain import START, canonical, link
from mosaic_hookspecs.protocols import Database
from mosaic_hookspecs.sql import load_queries

_PAGE = 5000  # rows
_HIDDEN = ("payload", "prev", "hash")

_sql = load_queries("mosaic_audit", "queries.sql")


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in one stream. ``broken_at`` is the first row that does not hold, or None."""

    stream: UUID
    rows: int
    first: datetime
    last: datetime
    broken_at: int | None = None
    problem: str = ""


async def tail(database: Database, limit: int) -> list[dict[str, Any]]:
    """The latest ``limit`` rows, oldest first, without their hashes."""
    return [
        {key: value for key, value in row.items() if key not in _HIDDEN}
        for row in await database.fetch(_sql.tail, limit)
    ]


async def verify(database: Database) -> list[Report]:
    """Recompute every chain. What was cut off the end of a stream leaves no trace in the stream itself."""
    reports: dict[UUID, Report] = {}
    before: Mapping[str, Any] | None = None
    async for row in _rows(database):
        if before is not None and before["stream"] != row["stream"]:
            before = None
        reports[row["stream"]] = _extend(reports.get(row["stream"]), row, before)
        before = row
    return list(reports.values())


async def _rows(database: Database) -> AsyncIterator[Mapping[str, Any]]:
    stream, seq = UUID(int=0), 0
    while page := await database.fetch(_sql.page, stream, seq, _PAGE):
        for row in page:
            yield row
        stream, seq = page[-1]["stream"], page[-1]["seq"]


def _extend(report: Report | None, row: Mapping[str, Any], before: Mapping[str, Any] | None) -> Report:
    rows, first = (report.rows + 1, report.first) if report else (1, row["at"])
    if report and report.broken_at is not None:
        return Report(row["stream"], rows, first, row["at"], report.broken_at, report.problem)
    problem = _problem(row, before)
    return Report(row["stream"], rows, first, row["at"], row["seq"] if problem else None, problem)


def _problem(row: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    expected = before["seq"] + 1 if before else 1
    if row["seq"] != expected:
        missing = f"row {expected}" if row["seq"] == expected + 1 else f"rows {expected} to {row['seq'] - 1}"
        return f"gap: {missing} missing"
    if canonical(row) != row["payload"] or link(row["prev"], row["payload"]) != row["hash"]:
        return "edited: the row does not match its hash"
    if row["prev"] != (before["hash"] if before else START):
        return "edited: the row does not follow the one before it"
    return ""
