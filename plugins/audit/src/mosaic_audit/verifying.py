"""Check a log: every row against its chain, every chain against the checkpoints, every checkpoint against the key."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from mosaic_audit.chain import START, link, says
from mosaic_audit.checkpoints import spans_root
from mosaic_audit.merkle import Tree
from mosaic_audit.stored import Filed, Source, Stretch
from mosaic_hookspecs.audit import AuditCheckpoint


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in one stream, or in the checkpoints (``stream`` None).

    ``broken_at`` is the number of the first row or checkpoint that does not hold, or None. ``unsigned`` counts
    the last rows, which no checkpoint covers yet.
    """

    stream: UUID | None
    rows: int = 0
    first: datetime | None = None
    last: datetime | None = None
    unsigned: int = 0
    broken_at: int | None = None
    problem: str = ""


async def verify(source: Source, key: bytes | None, kept: AuditCheckpoint | None = None) -> list[Report]:
    """Check all of it; the report on the checkpoints comes first, unless there never was one.

    ``kept`` is a checkpoint that was kept elsewhere, and must still be here.
    """
    streams = [await _verify_stream(source, stream) for stream in await source.streams()]
    checkpoints = await _verify_checkpoints(source, key, kept)
    return [report for report in (checkpoints, *streams) if report.rows or report.broken_at is not None]


async def _verify_checkpoints(source: Source, key: bytes | None, kept: AuditCheckpoint | None) -> Report:
    report, before = Report(None), None
    async for filed in source.checkpoints():
        report = replace(report, rows=report.rows + 1, first=report.first or filed.at, last=filed.at)
        if report.broken_at is None:
            wrong_at, problem = _problem_of(filed, before, key)
            if kept and not problem and filed.number == kept.number and filed.checkpoint != kept:
                wrong_at, problem = filed.number, "another checkpoint than the one kept elsewhere"
            report = replace(report, broken_at=wrong_at if problem else None, problem=problem)
        before = filed
    if report.broken_at is not None:
        return report
    latest = before.number if before else 0
    if kept and kept.number > latest:
        return replace(report, broken_at=latest + 1, problem=_cut(latest + 1, kept.number))
    stray = await source.stray_span()
    if stray is None:
        return report
    forged = "added: it was never signed, and says what is covered"
    return replace(report, broken_at=stray, problem=_cut(latest + 1, stray) if stray > latest else forged)


def _cut(first: int, last: int) -> str:
    return f"missing: checkpoint {first}" if first == last else f"missing: checkpoints {first} to {last}"


def _problem_of(filed: Filed, before: Filed | None, key: bytes | None) -> tuple[int, str]:
    expected = before.number + 1 if before else 1
    if filed.number != expected:
        return expected, _cut(expected, filed.number - 1)
    return filed.number, _content_problem(filed, before, key)


def _content_problem(filed: Filed, before: Filed | None, key: bytes | None) -> str:
    checkpoint = filed.checkpoint
    try:
        content, same = checkpoint.content, (checkpoint.number, checkpoint.at) == (filed.number, filed.at)
    except (ValueError, KeyError, TypeError, RecursionError):
        return "edited: it cannot be read"
    follows = (before.checkpoint.hash if before else START).hex()
    problems = (
        (key is None, "the key it was signed with is gone"),
        (
            not key or content.get("key") != sha256(key).hexdigest(),
            "signed with another key than this gateway's",
        ),
        (not key or not same or not checkpoint.is_by(key), "edited: its signature does not hold"),
        (content.get("prev") != follows, "it does not follow the one before it"),
        (content.get("root") != spans_root(filed.spans).hex(), "edited: what it covers was changed"),
    )
    return next((problem for applies, problem in problems if applies), "")


async def _verify_stream(source: Source, stream: UUID) -> Report:
    spans = await source.spans_of_stream(stream)
    stretch = await asyncio.to_thread(Stretch, source.part, spans)  # 100 ms where a process ran for months
    walk = _Walk(stream, stretch)
    async for row in source.rows(stream, stretch.seq, stretch.end):
        walk.step(row)
    return walk.end()


class _Walk:
    """Goes along one stream's rows and spans at once."""

    def __init__(self, stream: UUID, stretch: Stretch) -> None:
        self._stream = stream
        self._seq, self._head = stretch.seq, stretch.head
        self._end = stretch.end
        self._spans = deque(stretch.spans)
        self._covered = max((span.last for _, span in self._spans), default=stretch.seq)
        self._tree = Tree()
        self._rows = self._unsigned = 0
        self._first: datetime | None = None
        self._last: datetime | None = None
        self._broken_at: int | None = None
        self._problem = ""

    def step(self, row: Mapping[str, Any]) -> None:
        """The next row."""
        self._rows += 1
        self._first, self._last = self._first or row["at"], row["at"]
        self._unsigned += row["seq"] > self._covered
        if self._broken_at is None:
            self._problem = self._row_problem(row) or self._span_problem(row)
            self._broken_at = row["seq"] if self._problem else None
            self._seq, self._head = row["seq"], row["hash"]

    def end(self) -> Report:
        """All rows were seen."""
        if self._broken_at is None and self._covered > self._seq:
            self._broken_at, missing = self._seq + 1, _rows(self._seq + 1, self._covered)
            self._problem = f"truncated: {missing} missing, signed in checkpoint {self._spans[-1][0]}"
        return Report(
            self._stream,
            self._rows,
            self._first,
            self._last,
            self._unsigned,
            self._broken_at,
            self._problem,
        )

    def _row_problem(self, row: Mapping[str, Any]) -> str:
        expected = self._seq + 1
        if row["seq"] < expected:
            return "doubled: there is another row of this number"
        if row["seq"] > expected:
            return f"gap: {_rows(expected, row['seq'] - 1)} missing"
        if self._end is not None and row["seq"] > self._end:
            return "added: the archive ends before this row"
        if not says(row) or link(row["prev"], row["payload"]) != row["hash"]:
            return "edited: the row does not match its hash"
        if row["prev"] != self._head:
            return "edited: the row does not follow the one before it"
        return ""

    def _span_problem(self, row: Mapping[str, Any]) -> str:
        """Add the row to the span it is in; at its end, both must agree."""
        if not self._spans:
            return ""
        number, span = self._spans[0]
        self._tree.add(row["hash"])
        if row["seq"] < span.last:
            return ""
        tree, self._tree = self._tree, Tree()
        self._spans.popleft()
        whole = not span.retired and tree.leaves == span.last - span.first + 1
        if row["hash"] != span.head or (whole and tree.root() != span.root):
            return f"replaced: checkpoint {number} covers other rows than are here up to this one"
        return ""


def _rows(first: int, last: int) -> str:
    return f"row {first}" if first == last else f"rows {first} to {last}"
