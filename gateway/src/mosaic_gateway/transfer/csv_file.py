"""CSV (RFC 4180): a header row, then one record per row, streamed."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mosaic_gateway.transfer.records import BrokenFile, Record, known_fields, lines, unknown_field
from mosaic_hookspecs.errors import Fault
from mosaic_hookspecs.types import Resource

MAX_CELL = 10_000_000  # characters


def read_csv(path: Path, resource: Resource) -> Iterator[Record | Fault]:
    """Yield a record per row. An empty cell is an absent field; the items of a list are split by ``;``."""
    rows = _numbered(path)
    _, header = next(rows, (1, []))
    columns = _columns(header, path, resource)
    lists = _list_fields(resource)
    for line, cells in rows:
        where = f"{path}:{line}"
        if len(cells) != len(columns):
            yield Fault(where, f"{len(cells)} cells, but the header has {len(columns)}")
            continue
        yield Record(
            where,
            {
                column: _items(cell) if column in lists else cell
                for column, cell in zip(columns, cells, strict=True)
                if cell
            },
        )


def _numbered(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line the row starts on, cells); a quoted cell may span lines, and blank lines are skipped."""
    csv.field_size_limit(MAX_CELL)  # for the whole process; the module has no other way
    reader = csv.reader(lines(path), strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise BrokenFile(f"{path}:{line}", _explain(str(error))) from None


def _explain(error: str) -> str:
    """Put the csv module's words into the user's."""
    if "unexpected end of data" in error:
        return "a quote opens in this row and never closes"
    if "field limit" in error:
        return f"a cell is over {MAX_CELL:,} characters, or its quote never closes"
    if "new-line character" in error:
        return "a carriage return without a line feed: save the file with LF or CRLF line ends"
    return error


def _columns(header: list[str], path: Path, resource: Resource) -> list[str]:
    columns = [name.strip() for name in header]
    for name in columns:
        if name not in known_fields(resource):
            raise BrokenFile(f"{path}:1", unknown_field(name, resource))
        if columns.count(name) > 1:
            raise BrokenFile(f"{path}:1", f"the column {name!r} is there twice")
    return columns


def _list_fields(resource: Resource) -> frozenset[str]:
    """Names of the fields that hold several values, as the model's JSON Schema has them."""
    properties: dict[str, dict[str, Any]] = resource.model.model_json_schema()["properties"]
    return frozenset(
        name
        for name, schema in properties.items()
        if "array" in [option.get("type") for option in (schema, *schema.get("anyOf", ()))]
    )


def _items(cell: str) -> list[str]:
    return [item.strip() for item in cell.split(";") if item.strip()]
