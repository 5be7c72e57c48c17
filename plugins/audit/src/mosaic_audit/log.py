"""Find rows in the log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import astuple, dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from mosaic_hookspecs.protocols import Database
from mosaic_hookspecs.sql import load_queries

PROOF = ("payload", "prev", "hash")
_PAGE = 200  # rows; a peer is told as many at once

_sql = load_queries("mosaic_audit", "queries.sql")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows; None does not matter. The fields are the parameters of the query ``found``, in its order."""

    peer: str | None = None
    grant: UUID | None = None
    subject: UUID | None = None
    resource: str | None = None
    verb: str | None = None
    outcome: str | None = None
    trace: str | None = None
    request: str | None = None
    direction: str | None = None
    since: datetime | None = None  # inclusive
    until: datetime | None = None  # exclusive


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: rows after it are in no page before."""

    at: datetime
    stream: UUID
    seq: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Place:
        """The place of a row."""
        return cls(row["at"], row["stream"], row["seq"])

    def __str__(self) -> str:
        return f"{self.at.isoformat(timespec='microseconds')}/{self.stream}/{self.seq}"

    @classmethod
    def read(cls, text: str) -> Place:
        """The reverse. Raises ValueError."""
        at, stream, seq = text.split("/")
        return cls(datetime.fromisoformat(at), UUID(stream), int(seq))


async def latest(database: Database, wanted: Filter, limit: int) -> list[Mapping[str, Any]]:
    """The latest ``limit`` rows, oldest first."""
    return await database.fetch(_fill(_sql.latest), *astuple(wanted), limit)


async def page(
    database: Database, wanted: Filter, limit: int, after: Place | None = None
) -> list[Mapping[str, Any]]:
    """The first ``limit`` rows by time, or those after a place."""
    if after is None:
        return await database.fetch(_fill(_sql.first), *astuple(wanted), limit)
    return await database.fetch(_fill(_sql.following), *astuple(wanted), *astuple(after), limit)


async def every(database: Database, wanted: Filter) -> AsyncIterator[Mapping[str, Any]]:
    """All of them, by time."""
    after: Place | None = None
    while rows := await page(database, wanted, _PAGE, after):
        for row in rows:
            yield row
        after = Place.of(rows[-1])


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without its hashes."""
    return {key: value for key, value in row.items() if key not in PROOF}


class Following:
    """Rows as they come. One may come after others of a later time: writers commit when they can."""

    _LATE = timedelta(seconds=30)  # by then a row is committed or never is

    def __init__(self, database: Database, wanted: Filter, start: datetime) -> None:
        self._database = database
        self._wanted = wanted
        self._since = start
        self._seen: dict[UUID, int] = {}

    def saw(self, row: Mapping[str, Any]) -> None:
        """Not to be given again."""
        self._seen[row["stream"]] = max(row["seq"], self._seen.get(row["stream"], 0))

    async def more(self) -> list[Mapping[str, Any]]:
        """What came since."""
        found = [
            row
            async for row in every(self._database, replace(self._wanted, since=self._since))
            if row["seq"] > self._seen.get(row["stream"], 0)
        ]
        for row in found:
            self.saw(row)
            self._since = max(self._since, row["at"] - self._LATE)
        return found


def _fill(query: str) -> str:
    return query.replace("$found", _sql.found)
