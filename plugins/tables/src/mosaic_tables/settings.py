"""The table ``plugins.tables`` of the config."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from mosaic_hookspecs.models import Model

_PART = r'(?:[A-Za-z_][A-Za-z0-9_$]*|"(?:[^"\x00]|"")+")'
_TABLE = re.compile(rf"({_PART})\.({_PART})")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Column = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[^\x00]+$")]


def table_name(text: str) -> tuple[str, str]:
    """Schema and table as the catalogue has them: ``sales.orders``, or quoted as in SQL, ``"Sales"."my orders"``.

    Raises :class:`ValueError` for anything else, and for schemas that are not for sharing.
    """
    found = _TABLE.fullmatch(text)
    if not found:
        raise ValueError('expected schema.table, as in SQL: sales.orders, or "Sales"."My Orders"')
    schema, table = (
        part[1:-1].replace('""', '"') if part[0] == '"' else part.lower() for part in found.groups()
    )
    if schema == "information_schema" or schema.startswith(("pg_", "mosaic")):
        raise ValueError(f"the schema {schema} is Postgres' or the gateway's own, and not for sharing")
    return schema, table


def _checked(text: str) -> str:
    table_name(text)
    return text


def _no_vectors(name: str) -> str:
    if name.endswith("_vectors"):
        raise ValueError("names that end in _vectors are for the gateway's own tables")
    return name


class SharedTable(Model):
    """One table or view of yours, as a resource that is only read. Columns go by their names in the catalogue."""

    table: Annotated[str, AfterValidator(_checked)]
    """The table or view, with its schema, as in SQL."""
    id: Column
    """Column with another value in each row: a uuid, an integer or a text."""
    owner: Column
    """Column that says whose the row is. A row of somebody the gateway does not know is seen by nobody."""
    owner_is: Literal["username", "email", "id"] = "username"
    """What is in it: the name of a user of this gateway, exactly; that name @ email_domain; or the user's id."""
    email_domain: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$")] | None = (
        None
    )
    """The part behind the @ of the addresses in the owner column."""
    team: Column | None = None
    """Column that says which team the row is for; NULL in a row that is its owner's alone."""
    team_is: Literal["slug", "id"] = "slug"
    """What is in it: the short name of a team of this gateway, or its id."""
    columns: Annotated[list[Name], Field(min_length=1)] | Annotated[dict[Name, Column], Field(min_length=1)]
    """The columns that are shared, and no others; or a table of names and the columns they stand for."""
    search: tuple[Name, ...] = ()
    """Those of them that searches look through, the title first."""
    created_at: Column | None = None
    """Column with the time at which the row was made; lists then begin with the newest."""
    updated_at: Column | None = None
    """Column with the time of the row's last change."""
    summary: str = ""
    """What the rows are, for the API's document."""
    federable: bool = True
    """Whether grants may share it with peers; otherwise it is for the gateway's own users."""

    @property
    def fields(self) -> dict[str, str]:
        """The columns by the names they are shown under."""
        return self.columns if isinstance(self.columns, dict) else {name: name for name in self.columns}

    @model_validator(mode="after")
    def _whole(self) -> SharedTable:
        if (self.owner_is == "email") != (self.email_domain is not None):
            raise ValueError("owner_is email goes with an email_domain, and nothing else does")
        if strange := sorted(set(self.search) - set(self.fields)):
            raise ValueError(f"search: {', '.join(strange)} is not among columns")
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("columns: one is there twice")
        return self


class Settings(Model):
    """Tables and views that are there already in the gateway's database, each shared as a resource."""

    resources: dict[Annotated[Name, AfterValidator(_no_vectors)], SharedTable] = Field(default_factory=dict)
    """What is shared, by the name of the resource: see docs/how-to/share-a-table.md."""
