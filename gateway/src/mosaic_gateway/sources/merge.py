"""Rows of several sources as one list, and how far each source was read. Data only: no input, no output."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Order:
    """By one column of the rows, NULLs and absent values last either way; text by code point."""

    column: str
    descending: bool

    @classmethod
    def of(cls, sort: str) -> Order:
        """From a request's ``sort``."""
        return cls(sort.removeprefix("-"), sort.startswith("-"))

    def rank(self, value: object) -> tuple[int, Any]:
        """What values are compared by; of another gateway they may be of any type."""
        if value is None:
            return (0, 0) if self.descending else (9, 0)
        if isinstance(value, int | float):  # bool is one
            return (1, value)
        return (2, value) if isinstance(value, str) else (3, json.dumps(value))

    def is_behind(self, row: Row, value: object, row_id: str) -> bool:
        """Whether the row comes after the place of ``value`` and ``row_id``.

        A source that does not show the column was not told to sort by it, and then sorts by id.
        """
        if self.column not in row and value is None:
            return bool(row["id"] > row_id)
        here, there = (self.rank(row.get(self.column)), row["id"]), (self.rank(value), row_id)
        return here < there if self.descending else here > there


@dataclass(frozen=True, slots=True)
class State:
    """How far a source was read: the cursor of its page, and the last row of that page that was shown."""

    cursor: str | None = None
    after: tuple[Any, str] | None = None  # its sort value and its id

    def moved(self, stream: Stream, taken: int, order: Order) -> State | None:
        """The state after ``taken`` rows more. None: it was read to its end."""
        if taken == len(stream.rows):
            return State(stream.next_cursor) if stream.next_cursor is not None else None
        if taken == 0:
            return self
        last = stream.rows[taken - 1]
        return State(self.cursor, (last.get(order.column), last["id"]))


@dataclass(frozen=True, slots=True)
class Stream:
    """A page of one source without the rows that were shown before."""

    rows: Sequence[Row]
    next_cursor: str | None = None


def unseen(rows: Sequence[Row], after: tuple[Any, str] | None, order: Order) -> Sequence[Row]:
    """The rows behind the last one shown. If that one is gone by now or has moved, by its value and id."""
    if after is None:
        return rows
    value, row_id = after
    for index, row in enumerate(rows):
        if row["id"] == row_id and row.get(order.column) == value:
            return rows[index + 1 :]
    return [row for row in rows if order.is_behind(row, value, row_id)]


def merge(streams: Sequence[Stream], order: Order, limit: int) -> list[tuple[int, Row]]:
    """Up to ``limit`` rows, each with the index of its stream: sorted, equal ones by stream, then as they came.

    It ends early where a stream has no row left here but more where it comes from: the next one of those may
    come before all others.
    """
    taken = [0] * len(streams)
    merged: list[tuple[int, Row]] = []
    best = max if order.descending else min  # both take the first of equals
    while len(merged) < limit:
        heads = [index for index, stream in enumerate(streams) if taken[index] < len(stream.rows)]
        empty = set(range(len(streams))) - set(heads)
        if not heads or any(streams[index].next_cursor is not None for index in empty):
            break
        ranks = {index: order.rank(streams[index].rows[taken[index]].get(order.column)) for index in heads}
        first = best(heads, key=ranks.__getitem__)
        merged.append((first, streams[first].rows[taken[first]]))
        taken[first] += 1
    return merged


def fuse(rankings: Sequence[Sequence[Row]], limit: int) -> list[tuple[int, Row]]:
    """Up to ``limit`` rows of rankings that share none, each with the index of its ranking.

    Ranks of different gateways cannot be compared, places can. Reciprocal rank fusion (Cormack et al., 2009),
    which for rankings without a common row is: all that are first, in the order of the rankings, all second, …
    """
    places = [
        (place, index, row) for index, rows in enumerate(rankings) for place, row in enumerate(rows[:limit])
    ]
    return [(index, row) for _, index, row in sorted(places, key=lambda each: each[:2])[:limit]]
