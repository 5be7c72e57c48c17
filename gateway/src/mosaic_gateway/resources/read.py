"""Reads: a list page, one row, an export. Postgres filters, sorts, caps and builds the JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import lru_cache
from uuid import UUID

from mosaic_gateway.resources import cursor
from mosaic_gateway.resources.cursor import Position
from mosaic_gateway.resources.page import Page, page, page_sql
from mosaic_gateway.resources.peers import Reads
from mosaic_gateway.resources.query import MAX_LIMIT, OF_SOURCES, Sort, parse
from mosaic_gateway.resources.table import Table, shown
from mosaic_gateway.resources.visibility import Sight, visible
from mosaic_hookspecs.errors import NotFound
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import Answer, GrantView, Viewer

_sql = load_queries("mosaic_gateway.resources", "rows.sql")


async def list_rows(
    database: Reads,
    keys: Callable[[], Sequence[bytes]],
    table: Table,
    viewer: Viewer,
    params: Mapping[str, str],
) -> Answer:
    """One page of visible rows. Raises :class:`NotFound` and :class:`Malformed`."""
    values: list[object] = []
    table, sight = look(table, viewer, values)
    query = parse(table, params, beside(viewer))
    order = ("-" if query.sort.descending else "") + query.sort.column.name
    belongs_to = cursor.context(viewer, table.name, order, query.given)
    start = None if query.cursor is None else cursor.unseal(keys(), belongs_to, query.cursor)
    limit = capped(viewer, query.limit)
    shape = page(table, sight, query.filters, query.sort, start, limit, values)
    kept, items, last = await _read_page(database, shape, limit, values)
    follow = "null" if last is None else f'"{cursor.seal(keys()[0], belongs_to, last)}"'
    return Answer(f'{{"items":[{items}],"next_cursor":{follow}}}'.encode(), kept)


async def _read_page(
    database: Reads, shape: Page, limit: int, values: Sequence[object]
) -> tuple[int, str, Position | None]:
    """Return the number of rows, the rows as JSON, and the last one's position if there are more."""
    [(items, value, row_id)] = await database.fetch(page_sql("page", shape), *values)
    found = items or []
    kept = found[:limit]
    if None not in kept:
        return len(kept), ",".join(kept), Position(value, row_id) if len(found) > limit else None
    [(text, fewer, of, value, row_id)] = await database.fetch(page_sql("long_page", shape), *values)
    return fewer, text, Position(value, row_id) if fewer < of else None


async def get_row(database: Reads, table: Table, viewer: Viewer, row_id: str) -> Answer:
    """One visible row. Raises :class:`NotFound`."""
    values: list[object] = [None]
    table, sight = look(table, viewer, values)  # before the id, whose fault would tell that there is a table
    values[0] = uuid_of(table, row_id)
    row = await database.fetchrow(fill("get", table, sight), *values)
    if row is None:
        raise no_row(table)
    return Answer(row["item"].encode(), 1, row["version"] if "version" in table.columns else None)


async def export_rows(database: Reads, table: Table, viewer: Viewer) -> AsyncIterator[bytes]:
    """Every visible row as a JSON object, oldest first (or by id), fetched a page at a time."""
    position, limit = None, capped(viewer, MAX_LIMIT)
    while True:
        values: list[object] = []
        narrow, sight = look(table, viewer, values)
        sort = Sort(narrow.columns["created_at" if narrow.newest_first else "id"], descending=False)
        shape = page(narrow, sight, (), sort, position, limit, values)
        rows = await database.fetch(page_sql("items", shape), *values)
        if not rows:
            return
        for row in rows:
            yield row["item"].encode()
        position = Position(rows[-1]["value"], rows[-1]["id"])


def look(table: Table, viewer: Viewer, values: list[object]) -> tuple[Table, Sight]:
    """Return the table as the viewer may know it, and which of its rows ``r`` are visible. All reads start here."""
    sight = visible(viewer, table.resource, "r", values)
    return shown(table, sight.columns), sight


def beside(viewer: Viewer) -> Sequence[str]:
    """Parameters that the routes of users take out of what comes here; those of peers take none."""
    return () if isinstance(viewer, GrantView) else OF_SOURCES


def capped(viewer: Viewer, limit: int) -> int:
    """Return the number of rows one query may give this viewer."""
    return min(limit, viewer.scope.max_rows_per_query) if isinstance(viewer, GrantView) else limit


def uuid_of(table: Table, row_id: str) -> UUID:
    """Read an id. Raises :class:`NotFound`: what is no id names no row."""
    try:
        return UUID(row_id)
    except ValueError:
        raise no_row(table) from None


def no_row(table: Table) -> NotFound:
    """One error for a row that is absent and for one that is hidden."""
    return NotFound(f"There is no row with this id in {table.name}.", remedy="check the id")


@lru_cache(maxsize=512)
def fill(name: str, table: Table, sight: Sight) -> str:
    """Return the statement ``name`` of rows.sql for a table and a viewer's sight."""
    text: str = getattr(_sql, name)
    item = json_fields(table) if name == "lock" else table.item
    return text.format(table=table.name, item=item, visible=sight.predicate)


def json_fields(table: Table) -> str:
    """Return the SELECT list of the model's fields alone, as they go into JSON."""
    return ", ".join(table.columns[name].json_sql for name in (*table.fields, "external_id"))
