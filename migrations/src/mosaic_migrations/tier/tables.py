"""Tables as data, and a content hash that needs no order.

The hash of a table is two sums over its rows of Postgres' 64-bit record hash with two seeds. Sums of parts add
up, so that the parts of a table may be read by different connections and at different times.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import asyncpg

from mosaic_migrations.tier.sides import sql

_MASK = 2**128 - 1


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is stored by whoever writes the row: generated ones follow by themselves."""

    name: str
    type: str
    hashed: str  # SQL that stands for the value in a hash
    only_text: bool  # its binary form means nothing in another database


@dataclass(frozen=True, slots=True)
class Partition:
    """What makes a table a part of another: ``FOR VALUES …``."""

    of: str
    bound: str
    triggers: tuple[str, ...]  # statements, without the name of a schema


@dataclass(frozen=True, slots=True)
class Table:
    """A table of one side."""

    name: str
    bytes: int  # with TOAST, without indexes
    pages: int
    columns: tuple[Column, ...]
    partition: Partition | None = None

    @property
    def format(self) -> str:
        """The form its rows are copied in."""
        return "text" if any(column.only_text for column in self.columns) else "binary"


@dataclass(frozen=True, slots=True)
class Digest:
    """Number and content of rows, whatever their order."""

    rows: int = 0
    low: int = 0
    high: int = 0

    def __add__(self, other: Digest) -> Digest:
        return Digest(self.rows + other.rows, self.low + other.low, self.high + other.high)

    def __str__(self) -> str:
        return f"{self.low & _MASK:032x}{self.high & _MASK:032x}"


@dataclass(frozen=True, slots=True)
class Checked:
    """A table with the content hash of either side."""

    name: str
    source: Digest
    target: Digest


async def read_tables(connection: asyncpg.Connection, schema: str) -> dict[str, Table]:
    """Tables of a schema by name."""
    columns: dict[str, list[Column]] = {}
    for row in await connection.fetch(sql.columns, schema):
        column = Column(row["name"], row["type"], row["hashed"], row["only_text"])
        columns.setdefault(row["table_name"], []).append(column)
    return {
        row["name"]: Table(
            row["name"], row["bytes"], row["pages"], tuple(columns.get(row["name"], ())), _partition(row)
        )
        for row in await connection.fetch(sql.tables, schema)
    }


def _partition(row: asyncpg.Record) -> Partition | None:
    return row["parent"] and Partition(row["parent"], row["bound"], tuple(row["triggers"]))


def quoted(*names: str) -> str:
    """A qualified SQL identifier."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def in_pages(first: int, end: int | None) -> str:
    """SQL condition for the rows of some pages; the last part of a table has no end."""
    return f"ctid >= '({first},0)'" + ("" if end is None else f" AND ctid < '({end},0)'")


async def digest(
    connection: asyncpg.Connection, schema: str, table: Table, names: Sequence[str], where: str = "true"
) -> Digest:
    """Hash the columns ``names`` of a table's rows; they are numbered by the order of the names."""
    hashed = {column.name: column.hashed for column in table.columns}
    row = f"ROW({', '.join(hashed[name] for name in names)})"
    rows = f"SELECT {row} AS r FROM ONLY {quoted(schema, table.name)} WHERE {where}"  # noqa: S608
    values = await connection.fetchrow(sql.digest.replace("$rows", rows))
    return Digest(*map(int, values))


async def occupied(connection: asyncpg.Connection, schema: str, names: Iterable[str]) -> set[str]:
    """Those tables that hold a row, the table of applied migrations aside."""
    found = set()
    for name in names:
        query = f"SELECT EXISTS (SELECT FROM {quoted(schema, name)})"  # noqa: S608
        if name != "migrations" and await connection.fetchval(query):
            found.add(name)
    return found
