"""Types of columns: what each is in a resource, and how a view gives it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, StringConstraints, WithJsonSchema

_Label = Annotated[str, StringConstraints(max_length=63)]  # of an enum; short, so that it can be sorted by
_Exact = Annotated[Decimal, WithJsonSchema({"type": "number", "format": "decimal"})]


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of Postgres: the annotation of a field, and the SQL of a value of column ``{}``."""

    annotation: Any
    sql: str = "{}"


#: By name in pg_type; an enum is ``enum``, and a domain is what it is over.
KINDS = {
    "text": Kind(str),
    "varchar": Kind(str, "{}::text"),
    "bpchar": Kind(str, "{}::text"),
    "citext": Kind(str, "{}::text"),
    "enum": Kind(_Label, "{}::text"),
    "int2": Kind(int),
    "int4": Kind(int),
    "int8": Kind(int),
    "numeric": Kind(_Exact),
    "float4": Kind(float, "{}::double precision"),
    "float8": Kind(float),
    "bool": Kind(bool),
    "uuid": Kind(UUID),
    "date": Kind(date),
    "timestamptz": Kind(AwareDatetime),
    "timestamp": Kind(AwareDatetime, "({} AT TIME ZONE 'UTC')"),
    "_text": Kind(list[str]),
    "_varchar": Kind(list[str], "{}::text[]"),
    "json": Kind(Any),
    "jsonb": Kind(Any),
}
TEXTS = frozenset({"text", "varchar", "bpchar", "citext", "enum"})
NAMES = TEXTS - {"enum"}
TIMES = {
    "timestamptz": "{}",
    "timestamp": "({} AT TIME ZONE 'UTC')",
    # A date may lie behind the last timestamp, and one such row must not fail the lists of everybody.
    "date": "CASE WHEN {0} >= date '294277-01-01' THEN 'infinity' ELSE {0}::timestamp AT TIME ZONE 'UTC' END",
}
KEYS = frozenset({"uuid", "int2", "int4", "int8", "text", "varchar"})


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the catalogue."""

    number: int
    quoted: str  # as Postgres quotes it
    type: str  # key of KINDS, if it is one of them
    shown: str  # the type, as SQL has it
    length: int | None  # of a varchar, characters
    filled: bool  # never NULL
    unique: bool
    readable: bool  # to the gateway's role
    exact: bool  # of texts that are not the same no two are equal

    @property
    def annotation(self) -> Any:
        """Of the field that it becomes."""
        kind: Any = KINDS[self.type].annotation
        if self.length:
            kind = Annotated[kind, StringConstraints(max_length=self.length)]
        return kind if self.filled else kind | None
