"""Input to a row: validated by the resource's model, with every fault found at once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import chain, islice
from typing import Annotated, Any, Protocol, TypeVar
from uuid import UUID

from pydantic import BaseModel, StringConstraints, ValidationError

from mosaic_gateway.resources.storable import TIME, TIME_HINT, escape, faults
from mosaic_gateway.resources.table import Table
from mosaic_hookspecs.errors import Fault, Invalid
from mosaic_hookspecs.types import STANDARD_COLUMNS

M = TypeVar("M", bound=BaseModel)
MAX_FAULTS = 100  # of one row; who sends a million wrong values must not keep the gateway busy naming them


class Name(BaseModel):
    """What a record may say beside the model's fields: its name elsewhere."""

    external_id: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None


class Place(Name):
    """What a request body may say beside the model's fields: also whose row it is."""

    team_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A row to be: JSON values of all the model's fields, defaults filled in."""

    fields: dict[str, Any]
    team_id: UUID | None
    external_id: str | None


class Parse(Protocol):
    """A way to validate: :func:`from_json` or :func:`from_record`."""

    def __call__(self, model: type[M], fields: dict[str, object], /) -> M:
        """Raise :class:`pydantic.ValidationError`."""
        ...


def from_json(model: type[M], fields: dict[str, object]) -> M:
    """Validate as JSON, strictly: what the JSON Schema refuses is refused."""
    return model.model_validate_json(json.dumps(fields), strict=True)


def from_record(model: type[M], fields: dict[str, object]) -> M:
    """Validate what was read from a file, where a number may still be text."""
    return model.model_validate(fields)


def draft(table: Table, given: Mapping[str, object], parse: Parse, beside: type[Name]) -> Draft:
    """Return the validated row.

    Raises :class:`Invalid` with a fault per wrong place, by JSON pointer; the first 100 of very many.
    """
    every = chain(
        _unknown(given, (*table.fields, *beside.model_fields)), faults(given), _loose_times(table, given)
    )
    found = list(islice(every, MAX_FAULTS))
    wrong = {fault.where.split("/")[1] for fault in found}
    usable = {name: value for name, value in given.items() if escape(name) not in wrong}
    row = _parse(table.resource.model, usable, parse, wrong, found)
    place = _parse(beside, usable, parse, wrong, found)
    if row is not None:
        found += faults({name: getattr(row, name) for name in table.times})
    if found or row is None or place is None:
        raise Invalid(f"The row is not valid for {table.name}.", faults=found[:MAX_FAULTS])
    # Postgres takes offsets up to ±15:59, RFC 3339 up to ±23:59
    times = {
        name: moment.astimezone(UTC).isoformat() for name in table.times if (moment := getattr(row, name))
    }
    return Draft(row.model_dump(mode="json") | times, getattr(place, "team_id", None), place.external_id)


def _parse(
    model: type[M], given: dict[str, object], parse: Parse, wrong: set[str], found: list[Fault]
) -> M | None:
    try:
        return parse(model, {name: given[name] for name in model.model_fields if name in given})
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False, include_context=False):
            path = [escape(str(part)) for part in each["loc"]]
            if not (path and path[0] in wrong):  # already reported, and left out of what was parsed
                found.append(Fault("".join(f"/{part}" for part in path), each["msg"]))
        return None


def _unknown(given: Mapping[str, object], known: tuple[str, ...]) -> Iterator[Fault]:
    return (Fault(f"/{escape(name)}", _why_not(name, known)) for name in given if name not in known)


def _why_not(name: str, known: tuple[str, ...]) -> str:
    if name in STANDARD_COLUMNS:
        return "set by the gateway, not here"
    near = get_close_matches(name[:80], known, n=1)
    return f"unknown field; did you mean {near[0]!r}?" if near else "unknown field"


def _loose_times(table: Table, given: Mapping[str, object]) -> list[Fault]:
    values = ((name, given[name]) for name in sorted(table.times) if given.get(name) is not None)
    return [Fault(f"/{name}", TIME_HINT) for name, value in values if not _is_time(value)]


def _is_time(value: object) -> bool:
    """Pydantic also takes a number for a time, as seconds; a file with a stray 5 does not mean 1970."""
    return isinstance(value, datetime) or (isinstance(value, str) and TIME.match(value) is not None)
