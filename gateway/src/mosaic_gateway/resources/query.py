"""A request's query parameters as data: limit, cursor, sort and filters, every fault found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import Any, NamedTuple

from pydantic import ValidationError

from mosaic_gateway.resources.storable import TIME, TIME_HINT, problem
from mosaic_gateway.resources.table import Column, Table
from mosaic_hookspecs.errors import Fault, Malformed

MAX_LIMIT = 200  # rows
DEFAULT_LIMIT = 50
MAX_CHOICES = 100  # values of one ``field.in``
MAX_FILTERS = 100
MAX_FAULTS = 10  # parameters; to find what each was meant to be takes a millisecond
_NEAR = 24  # characters of a name that is none, to find the one that was meant
DEFAULT_SORT = "-created_at"
OF_SOURCES = ("sources", "timeout")  # the routes of users take these out of what comes here
_COMPARISONS = {"": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class Sort(NamedTuple):
    """Order by one column, then by id in the same direction; NULLs come last either way."""

    column: Column
    descending: bool

    @property
    def sql(self) -> str:
        """The ORDER BY list over rows ``r``. Without NULLS LAST where it changes nothing, for the index."""
        way = "DESC" if self.descending else "ASC"
        last = " NULLS LAST" if self.column.nullable and self.descending else ""
        return f'r."{self.column.name}" {way}{last}, r.id {way}'


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition about rows ``r``: SQL with ``{}`` where its one value goes, if it has one."""

    sql: str
    values: tuple[object, ...]


class Query(NamedTuple):
    """What a list asks for."""

    limit: int
    cursor: str | None
    sort: Sort
    filters: tuple[Filter, ...]
    given: list[tuple[str, str]]  # the filters as they came, for the cursor


def parse(table: Table, params: Mapping[str, str], beside: Sequence[str] = ()) -> Query:
    """Read the parameters of a list. Raises :class:`Malformed` with every fault, or the first of many.

    ``beside`` are parameters that the caller takes, and that may have been meant.
    """
    faults: list[Fault] = []
    given = [(name, text) for name, text in params.items() if name not in {"limit", "cursor", "sort"}]
    if len(given) > MAX_FILTERS:
        raise Malformed(f"A list takes at most {MAX_FILTERS} filters.", remedy="ask for less at once")
    filters = []
    for name, text in given:
        if len(faults) < MAX_FAULTS:
            filters.append(_filter(table, name, text, beside, faults))
    query = Query(
        limit=read_limit(params, faults),
        cursor=params.get("cursor"),
        sort=_sort(table, params.get("sort", default_sort(table)), faults),
        filters=tuple(each for each in filters if each is not None),
        given=given,
    )
    refuse(faults)
    return query


def default_sort(table: Table) -> str:
    """Newest first, unless that is not for this viewer to know."""
    return DEFAULT_SORT if table.newest_first else "id"


def refuse(faults: list[Fault]) -> None:
    """Raise :class:`Malformed` if there are faults."""
    if faults:
        names = ", ".join(repr(fault.where) for fault in faults)
        raise Malformed(f"Wrong query parameters: {names}.", faults=faults)


def read_limit(params: Mapping[str, str], faults: list[Fault]) -> int:
    """Read how many rows are asked for."""
    text = params.get("limit", str(DEFAULT_LIMIT))
    if text.isascii() and text.isdecimal() and len(text) < 9 and 1 <= int(text) <= MAX_LIMIT:  # noqa: PLR2004
        return int(text)
    faults.append(Fault("limit", f"expected a number from 1 to {MAX_LIMIT}"))
    return DEFAULT_LIMIT


def _sort(table: Table, text: str, faults: list[Fault]) -> Sort:
    name = text.removeprefix("-")
    column = table.columns.get(name)
    if column is None or not column.sortable:
        sortable = [known for known, each in table.columns.items() if each.sortable]
        faults.append(Fault("sort", f"cannot sort by {name[:80]!a}; {_hint(name, sortable)}"))
        column = table.columns["id"]
    return Sort(column, descending=text.startswith("-"))


def _filter(
    table: Table, parameter: str, text: str, beside: Sequence[str], faults: list[Fault]
) -> Filter | None:
    name, _, operator = parameter.partition(".")
    column = table.columns.get(name)
    if column is None or column.sql_type is None or operator not in operators(column):
        faults.append(unknown(parameter, _parameters(table, beside)))
        return None
    try:
        return _condition(column, operator, text)
    except ValueError as error:  # pydantic's ValidationError is one
        faults.append(Fault(parameter, _words(error)))
        return None


def _condition(column: Column, operator: str, text: str) -> Filter:
    left = f'r."{column.name}"'
    if operator == "null":
        if text not in {"true", "false"}:
            raise ValueError("expected true or false")
        return Filter(f"{left} IS {'' if text == 'true' else 'NOT '}NULL", ())
    if operator == "in":
        choices = text.split(",")
        if len(choices) > MAX_CHOICES:
            raise ValueError(f"expected at most {MAX_CHOICES} values")
        return Filter(f"{left} = ANY({{}}::{column.sql_type}[])", ([_value(column, one) for one in choices],))
    if column.sql_type == "text[]":
        return Filter(f"{{}}::text = ANY({left})", (_value(column, text),))
    return Filter(f"{left} {_COMPARISONS[operator]} {{}}::{column.sql_type}", (_value(column, text),))


def _value(column: Column, text: str) -> Any:
    if trouble := problem(text):
        raise ValueError(trouble)
    if column.sql_type == "timestamptz" and not TIME.match(text):
        raise ValueError(TIME_HINT)
    value = column.adapter.validate_strings(text)
    value = value.value if isinstance(value, Enum) else value
    if trouble := problem(value):
        raise ValueError(trouble)
    return value


def operators(column: Column) -> tuple[str, ...]:
    """Return the comparisons that a column can be filtered by."""
    ordered = () if column.sql_type in {"text[]", "boolean"} else ("gt", "gte", "lt", "lte", "in")
    return ("", *ordered, *(("null",) if column.nullable else ()))


def _parameters(table: Table, beside: Sequence[str]) -> list[str]:
    filters = [
        f"{column.name}.{operator}" if operator else column.name
        for column in table.columns.values()
        if column.sql_type
        for operator in operators(column)
    ]
    return ["limit", "cursor", "sort", *beside, *filters]


def unknown(parameter: str, known: Sequence[str]) -> Fault:
    """A parameter that there is none of, and the nearest that there is; if none is near, all."""
    where = parameter[:80].encode(errors="backslashreplace").decode()
    return Fault(where, f"unknown parameter; {_hint(parameter, known)}")


def _hint(name: str, known: Sequence[str]) -> str:
    if near := get_close_matches(name[:_NEAR].lower(), known, n=1):
        return f"did you mean {near[0]!r}?"
    plain = [each for each in known if "." not in each]  # each column once
    return f"known here: {', '.join(plain)}"


def _words(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(str(each["msg"]) for each in error.errors(include_url=False, include_input=False))
    return str(error)
