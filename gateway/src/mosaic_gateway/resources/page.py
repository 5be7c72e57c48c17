"""The SQL of a page: each way to a row walks its own index and stops early; an OR would scan all rows."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

from mosaic_gateway.resources.cursor import Position
from mosaic_gateway.resources.query import DEFAULT_LIMIT, MAX_LIMIT, Filter, Sort
from mosaic_gateway.resources.table import Table
from mosaic_gateway.resources.visibility import Sight
from mosaic_hookspecs.sql import load_queries

_sql = load_queries("mosaic_gateway.resources", "rows.sql")

#: Bytes of long values in one answer; a page ends early, after one row at least, rather than exceed it.
MAX_BYTES = 16_000_000


class Page(NamedTuple):
    """Everything the text of the statement depends on, and nothing else: equal pages share one plan.

    A tuple, as its parts: it is compared at each request.
    """

    table: Table
    sight: Sight
    conditions: tuple[str, ...]
    sort: Sort
    ceiling: int  # rows, written into the text: for a parameter Postgres would plan to read a tenth of all
    at: int  # number of the parameter with the limit


def page(
    table: Table,
    sight: Sight,
    filters: tuple[Filter, ...],
    sort: Sort,
    start: Position | None,
    limit: int,
    values: list[object],
) -> Page:
    """Describe the page of ``limit`` rows after ``start``, appending its values, the limit last."""
    conditions = [sight.shown]
    for each in filters:
        conditions.append(each.sql.format(f"${len(values) + 1}"))
        values += each.values
    if start is not None:
        conditions.append(_after(sort, start, values))
    values.append(limit)
    ceiling = DEFAULT_LIMIT if limit <= DEFAULT_LIMIT else MAX_LIMIT
    return Page(table, sight, tuple(conditions), sort, ceiling + 1, len(values))


@lru_cache(maxsize=1024)
def page_sql(name: Literal["page", "long_page", "items"], shape: Page) -> str:
    """Return the statement ``name`` of rows.sql for this page."""
    table, sight = shape.table, shape.sight
    pieces = {
        "table": table.name,
        "json": table.json,
        "weight": table.weight,
        "budget": MAX_BYTES,
        "raw": table.raw,
        "sort": shape.sort.column.name,
        "order": shape.sort.sql,
        "limit": f"${shape.at}::bigint",
        "ceiling": shape.ceiling,
        "common": " AND ".join(shape.conditions),
    }
    ways = []
    if sight.personal:
        ways.append(_sql.personal_way.format(**pieces, personal=sight.personal))
    if sight.teams:
        ways.append(_sql.team_way.format(**pieces, teams=sight.teams))
    text: str = getattr(_sql, name)
    return text.format(**pieces, ways="\nUNION ALL\n".join(ways))


def _after(sort: Sort, start: Position, values: list[object]) -> str:
    """Rows behind the start: a plain row comparison where NULL cannot occur, which an index can answer."""
    column, beyond = f'r."{sort.column.name}"', "<" if sort.descending else ">"
    values.append(start.id)
    row_id = f"${len(values)}::text::uuid"
    if start.value is None:  # among the last, the NULLs
        return f"({column} IS NULL AND r.id {beyond} {row_id})"
    values.append(start.value)
    following = f"({column}, r.id) {beyond} (${len(values)}::text::{sort.column.sql_type}, {row_id})"
    return f"({following} OR {column} IS NULL)" if sort.column.nullable else following
