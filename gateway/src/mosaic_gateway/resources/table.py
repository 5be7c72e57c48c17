"""A resource's table, described once: columns, their SQL types, and the SQL that makes an item of a row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, TypeAdapter

from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.types import Resource

#: Names with a meaning of their own in a request or an answer.
RESERVED = frozenset(
    {"limit", "cursor", "sort", "q", "rank", "highlights", "sources", "source", "resource", "timeout"}
)
#: A sort value travels in the cursor, hence in a URL: longer texts cannot be sorted by. In characters.
MAX_SORT_TEXT = 1000

_TYPES = {"integer": "bigint", "number": "double precision", "boolean": "boolean", "string": "text"}
_FORMATS = {"date-time": "timestamptz", "date": "date", "uuid": "uuid"}
# UTC as an interval: by its name it would be looked up for each value.
_RFC3339 = "to_char({0} AT TIME ZONE INTERVAL '0', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
# The same as JSON, for a session in UTC: in half the time where Postgres' own form has all six decimals.
_JSON_TIME = (
    "CASE WHEN {0} IS NULL THEN NULL WHEN {0}::timestamptz(5) <> {0} AND {0} >= '0001-01-02Z'"
    " THEN replace(to_json({0}::timestamptz)::text, '+00:00\"', 'Z\"')"
    f" ELSE to_json({_RFC3339})::text END"
)
_MOST_PIECES = 90  # of one text put together: a function of Postgres takes 100 arguments


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column: ``sql_type`` is the cast of a value; None means it can be neither filtered nor sorted."""

    name: str
    sql_type: str | None
    nullable: bool
    adapter: TypeAdapter[Any]  # of one value given as text
    sortable: bool

    @property
    def weight_sql(self) -> str:
        """About how many bytes the column adds to an item of row ``r``; of texts told without unpacking them."""
        quoted = f'r."{self.name}"'
        size = f"octet_length({quoted}::text)"  # a number may be written far longer than it is kept
        if self.sql_type == "text[]":
            plain = f"pg_column_compression({quoted}) IS NULL"
            size = f"CASE WHEN {plain} THEN pg_column_size({quoted}) ELSE {size} END"
        return f"coalesce({size}, 0)"

    @property
    def text_sql(self) -> str:
        """The column of row ``r`` for concat, never NULL: what row_to_json makes of :attr:`json_sql`, in less time."""
        quoted = f'r."{self.name}"'
        if self.sql_type == "timestamptz":
            text = _JSON_TIME.format(quoted)
        elif self is _STANDARD["version"]:
            text = f"{quoted}::bigint::text"
        elif self is _STANDARD.get(self.name) and self.sql_type == "uuid":
            text = f"""'"' || {quoted}::uuid || '"'"""
        else:
            text = f"to_json({quoted})"  # as text it would be copied once more
        return f"coalesce({text}, 'null')"

    @property
    def json_sql(self) -> str:
        """The column of row ``r`` as it goes into an item: times in UTC with six decimals and Z."""
        quoted = f'r."{self.name}"'
        return f"{_RFC3339.format(quoted)} AS {self.name}" if self.sql_type == "timestamptz" else quoted


class Table:
    """A registered resource with its columns, the standard ones first."""

    def __init__(self, resource: Resource) -> None:
        if clash := sorted(RESERVED & set(resource.model.model_fields)):
            raise ConfigError(f"resource {resource.name}: fields {clash} have names that requests use")
        self.resource = resource
        self.name = resource.name
        self.fields = tuple(resource.model.model_fields)
        fields = {
            name: _field_column(resource, name, schema)
            for name, schema in _field_schemas(resource.model).items()
        }
        self.columns: Mapping[str, Column] = {name: (_STANDARD | fields)[name] for name in resource.columns}
        self.times = frozenset(n for n in self.fields if self.columns[n].sql_type == "timestamptz")
        self._describe()

    def _describe(self) -> None:
        """What follows from the columns."""
        self.item = ", ".join(column.json_sql for column in self.columns.values())
        self.json = object_sql(self.columns)
        self.weight = " + ".join(
            ["0", *(each.weight_sql for each in self.columns.values() if self._may_be_long(each))]
        )
        self.raw = ", ".join(f'r."{name}"' for name in self.columns)
        self.search = tuple(name for name in self.resource.search if name in self.columns)
        self.newest_first = (
            "created_at" in self.columns
        )  # else by id: the order must tell of no hidden column

    def _may_be_long(self, column: Column) -> bool:
        """No rule of ours bounds what others keep."""
        of_others = self.resource.view and column.sql_type == "text"
        return not column.sortable or column.sql_type == "numeric" or of_others


@lru_cache(maxsize=256)
def shown(table: Table, columns: frozenset[str] | None) -> Table:
    """Return the table as if it had only these columns, for reads; None: all.

    What is not there is in no item, no error, no order and no size, and no filter, sort or search knows it. Nor
    is the version of a view's row, which is a hash of all columns: what it is of could be tried out.
    """
    if columns is None:
        return table
    narrow = copy(table)
    told = columns - {"version"} if table.resource.view else columns
    narrow.columns = {name: column for name, column in table.columns.items() if name in told}
    narrow._describe()
    return narrow


def object_sql(columns: Mapping[str, Column], *more: str) -> str:
    """Return SQL that writes a row ``r`` as a JSON object, and at its end ``more``, which is JSON with its commas.

    In one call for all columns, for row_to_json looks each one's type up in each row.
    """
    pieces: list[str] = []
    for name, column in columns.items():
        key = f"{',' if pieces else '{'}{json.dumps(name, ensure_ascii=False)}:".replace("'", "''")
        pieces += [f"'{key}'", column.text_sql]
    pieces += [*more, "'}'"]
    parts = [pieces[at : at + _MOST_PIECES] for at in range(0, len(pieces), _MOST_PIECES)]
    return " || ".join(f"concat({', '.join(part)})" for part in parts)


def _field_schemas(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """JSON Schema of each field, with references resolved: it says the kind of any annotation plainly."""
    schema = model.model_json_schema(by_alias=False, mode="validation")
    definitions = {f"#/$defs/{name}": body for name, body in schema.get("$defs", {}).items()}
    return {
        name: body | definitions.get(body.get("$ref", ""), {})
        for name, body in schema.get("properties", {}).items()
    }


def _field_column(resource: Resource, name: str, schema: dict[str, Any]) -> Column:
    options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    one = options[0] if len(options) == 1 else {}
    field = resource.model.model_fields[name]
    sql_type = _sql_type(one)
    kind: Any = str if sql_type == "text[]" else field.annotation
    metadata = () if sql_type == "text[]" else field.metadata
    short = "enum" in one or "const" in one or one.get("maxLength", MAX_SORT_TEXT + 1) <= MAX_SORT_TEXT
    return Column(
        name=name,
        sql_type=sql_type,
        nullable=len(options) < len(schema.get("anyOf", [schema])),
        adapter=TypeAdapter(Annotated[kind, *metadata] if metadata else kind),
        sortable=sql_type not in {None, "text[]"} and (sql_type != "text" or short),
    )


def _sql_type(schema: dict[str, Any]) -> str | None:
    kind = schema.get("type", "string" if "enum" in schema or "const" in schema else None)
    if kind == "array":
        return "text[]" if _sql_type(schema.get("items", {})) == "text" else None
    if kind == "string" and "format" in schema:
        return _FORMATS.get(schema["format"], "text")
    if kind == "number" and schema.get("format") == "decimal":
        return "numeric"
    return _TYPES.get(str(kind))


def _standard(name: str, sql_type: str, kind: type, *, nullable: bool = False) -> Column:
    return Column(name, sql_type, nullable, TypeAdapter(kind), sortable=True)


_STANDARD = {
    column.name: column
    for column in (
        _standard("id", "uuid", UUID),
        _standard("owner_id", "uuid", UUID),
        _standard("team_id", "uuid", UUID, nullable=True),
        _standard("external_id", "text", str, nullable=True),
        _standard("created_at", "timestamptz", datetime),
        _standard("updated_at", "timestamptz", datetime),
        _standard("version", "bigint", int),
    )
}
