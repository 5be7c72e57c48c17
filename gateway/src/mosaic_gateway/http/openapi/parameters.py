"""Query and path parameters of the generic routes, as the resources room reads them."""

from __future__ import annotations

from collections.abc import Iterator

from mosaic_gateway.http.openapi.shapes import EXAMPLE_ID, TIME_SCHEMA, UUID_SCHEMA, Json
from mosaic_gateway.resources.query import (
    DEFAULT_LIMIT,
    MAX_CHOICES,
    MAX_LIMIT,
    default_sort,
    operators,
)
from mosaic_gateway.resources.search_query import LANGUAGES, MAX_WORDS, Mode
from mosaic_gateway.resources.table import Column, Table
from mosaic_hookspecs.types import STANDARD_COLUMNS, Resource

_MEANINGS = {
    "": "exactly this",
    "gt": "greater than this",
    "gte": "this or greater",
    "lt": "less than this",
    "lte": "this or less",
    "in": f"one of these, at most {MAX_CHOICES}",
    "null": "absent (`true`) or present (`false`)",
}
_INT64: Json = {"type": "integer", "format": "int64", "minimum": -(2**63), "maximum": 2**63 - 1}
#: Not blank; what Python strips and ECMAScript does not call a space is named.
_WORDS: Json = {"type": "string", "maxLength": MAX_WORDS, "pattern": r"[^\s\u001c-\u001f\u0085]"}
#: A filter on a standard column takes any value of its type, by SQL type.
_STANDARD: Json = {
    "uuid": UUID_SCHEMA,
    "text": {"type": "string"},
    "timestamptz": TIME_SCHEMA,
    "bigint": {"type": "integer"},
}


def path_id() -> Json:
    """The row id in a path."""
    return {"name": "id", "in": "path", "required": True, "schema": UUID_SCHEMA, "example": EXAMPLE_ID}


def list_parameters(resource: Resource, item: Json) -> list[Json]:
    """Paging, sort, and a filter for each column and comparison; ``item`` holds the columns' schemas."""
    table = Table(resource)
    sortable = [name for name, column in table.columns.items() if column.sortable]
    orders = [order for name in sortable for order in (name, f"-{name}")]
    cursor = _query("cursor", "`next_cursor` of the page before.", {"type": "string", "minLength": 1})
    sort = _query(
        "sort",
        "Field to order by, `-` for descending.",
        {"type": "string", "enum": orders, "default": default_sort(table)},
    )
    return [_limit(), cursor, sort, *_filters(table, item)]


def search_parameters(modes: tuple[Mode, ...]) -> list[Json]:
    """The words to look for, how, and what to show."""
    words = _query("q", 'Words, `"a phrase"`, `or`, `-not`, `begin*`.', _WORDS)
    mode = _query(
        "mode",
        "By words, meaning, or both; default: both where they are, words where `q` says exactly what is wanted.",
        {"type": "string", "enum": [*modes]},
    )
    lang = _query(
        "lang",
        "Language of rows and words, for their endings and stop words; default: the gateway's.",
        {"type": "string", "enum": [*LANGUAGES]},
    )
    highlight = _query("highlight", "Show where the words stand.", {"type": "boolean", "default": False})
    return [words | {"required": True, "example": "oats"}, _limit(), mode, lang, highlight]


def _filters(table: Table, item: Json) -> Iterator[Json]:
    for column in table.columns.values():
        for operator in operators(column):
            name = f"{column.name}.{operator}" if operator else column.name
            description = f"Rows whose {column.name} is {_MEANINGS[operator]}."
            if column.sql_type == "text[]" and not operator:
                description = f"Rows whose {column.name} hold this."
            yield _query(name, description, _value(column, operator, item[column.name]))


def _value(column: Column, operator: str, schema: Json) -> Json:
    if operator == "null":
        return {"type": "boolean"}
    if column.sql_type == "text[]":
        return {"type": "string"}
    if column.name in STANDARD_COLUMNS:
        one = _STANDARD[str(column.sql_type)]
    elif column.sql_type == "text" and not column.sortable:
        one = _STANDARD["text"]  # its longest value would not fit into a URL
    else:
        one = _present(schema)
    if one.get("type") == "integer":
        one = _INT64 | one
    return (
        {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_CHOICES} if operator == "in" else one
    )


def _present(schema: Json) -> Json:
    """The schema of a value that is there: without null and without what describes the field in an item."""
    options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    one = options[0] if len(options) == 1 else {"anyOf": options}
    return {key: value for key, value in one.items() if key not in {"default", "title", "description"}}


def _limit() -> Json:
    schema = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
    return _query("limit", "Rows in one answer.", schema)


def _query(name: str, description: str, schema: Json) -> Json:
    parameter: Json = {"name": name, "in": "query", "description": description, "schema": schema}
    if schema.get("type") == "array":
        parameter |= {"style": "form", "explode": False}
    return parameter
