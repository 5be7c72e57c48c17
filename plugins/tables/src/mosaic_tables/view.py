"""The view that shares a table: its query, in the words of the server, and the resource that it is."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, create_model

from mosaic_hookspecs.types import Resource
from mosaic_tables.catalogue import Relation
from mosaic_tables.columns import KINDS, TIMES, Column
from mosaic_tables.settings import SharedTable

# Characters of a row that are searched. A tsvector holds 1 MB, and hyphenated words of four-byte characters take 8
# bytes for each: with more, one such row would fail the searches of everybody.
_TEXT = 130_000


@dataclass(frozen=True, slots=True)
class View:
    """What a table becomes. Names in SQL are as Postgres quoted them, or checked to be plain."""

    name: str
    shared: SharedTable
    found: Relation

    @property
    def query(self) -> str:
        """Gives the standard columns, those that are shared, and the words of the text.

        The comment has what the text alone does not tell: that another table is called so now.
        """
        given = {
            "id": self.id_sql("t."),
            "owner_id": "u.id",
            "team_id": "g.id" if self.shared.team else "NULL::uuid",
            "external_id": f"{self._of(self.shared.id)}::text",
            "created_at": self._time(self.shared.created_at),
            "updated_at": self._time(self.shared.updated_at),
        }
        own = {name: self._value(column) for name, column in self.shared.fields.items()}
        values = [f"{sql} AS {name}" for name, sql in given.items()]
        values += [f'{sql} AS "{name}"' for name, sql in own.items()]
        hashed = [f"{sql}::text" if self._is_json(name) else sql for name, sql in own.items()]
        beside = [
            sql for name, sql in given.items() if name not in ("id", "external_id")
        ]  # they never change
        values += [f"{self._version([*beside, *hashed])} AS version"]
        values += [f"{self.words_sql('t.') or 'NULL::tsvector'} AS search_vector"]
        numbers = sorted(column.number for column in self.found.columns.values())
        return f"SELECT {', '.join(values)} {self._from} /* table {self.found.oid}, columns {numbers} */"

    @property
    def _from(self) -> str:
        owner = self._of(self.shared.owner)
        # Only where it says something: else Postgres takes it for a reason to walk the index of the key.
        key = "true" if self.column(self.shared.id).filled else f"{self._of(self.shared.id)} IS NOT NULL"
        users = {
            "username": f"u.username = {owner}::text",
            "id": f"u.id = {owner}",
            # Twice the same, so that an index serves from either side.
            "email": f"u.username = left({owner}::text, {-len(self._at_domain)}) "
            f"AND {owner}::text = u.username || '{self._at_domain}'",
        }[self.shared.owner_is]
        tables = f"FROM {self.found.quoted} t JOIN mosaic.users u ON {users}"
        if self.shared.team is None:
            return f"{tables} WHERE {key}"
        team = self._of(self.shared.team)
        teams = f"g.id = {team}" if self.shared.team_is == "id" else f"g.slug = {team}::text"
        # A team that is not known here is not no team: such a row is nobody's.
        known = f"({team} IS NULL OR g.id IS NOT NULL)"
        return f"{tables} LEFT JOIN mosaic.teams g ON {teams} WHERE {key} AND {known}"

    @property
    def _at_domain(self) -> str:
        return f"@{self.shared.email_domain}"

    def id_sql(self, row: str) -> str:
        """The id of a row: the key, or a uuid of version 8 (RFC 9562) made of the MD5 of ``resource/key``."""
        key = f"{row}{self.column(self.shared.id).quoted}"
        if self.column(self.shared.id).type == "uuid":
            return key
        hashed = f"md5('{self.name}/' || {key}::text)"
        return f"overlay(overlay({hashed} placing '8' from 13) placing '8' from 17)::uuid"

    def words_sql(self, row: str) -> str:
        """The words of a row, as an index has to have them; empty: there is nothing to search."""
        texts = [self._value(self.shared.fields[name], row) for name in self.shared.search]
        weights = "A" + "B" * len(texts)
        most = min(100_000, _TEXT // max(1, len(texts)))
        return " || ".join(
            f"setweight(to_tsvector('english', coalesce(left({text}, {most}), '')), '{weight}')"
            for text, weight in zip(texts, weights, strict=False)
        )

    def column(self, name: str) -> Column:
        """A column by its name in the catalogue."""
        return self.found.columns[name]

    def resource(self) -> Resource:
        """The resource, its fields of the columns' types."""
        fields: dict[str, Any] = {}
        for name, column in self.shared.fields.items():
            found = self.column(column)
            fields[name] = (found.annotation, ... if found.filled else None)
        with warnings.catch_warnings():  # a column may be called as a method of pydantic's: nobody calls it
            warnings.simplefilter("ignore", UserWarning)
            config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
            model = create_model(self.name, __config__=config, **fields)
        times = {"created_at": self.shared.created_at, "updated_at": self.shared.updated_at}
        return Resource(
            self.name,
            model,
            self.shared.summary or f"Rows of {self.shared.table}, only read",
            search=tuple(self.shared.search),
            federable=self.shared.federable,
            view=True,
            without=frozenset(name for name, column in times.items() if column is None),
        )

    def _is_json(self, field: str) -> bool:
        """Of the types that are shared the one that Postgres cannot hash."""
        return self.column(self.shared.fields[field]).type == "json"

    def _of(self, column: str, row: str = "t.") -> str:
        return f"{row}{self.column(column).quoted}"

    def _value(self, column: str, row: str = "t.") -> str:
        return KINDS[self.column(column).type].sql.format(self._of(column, row))

    def _time(self, column: str | None) -> str:
        if column is None:
            return "NULL::timestamptz"
        found = self.column(column)
        time = TIMES[found.type].format(self._of(column))
        return time if found.filled else f"coalesce({time}, timestamptz 'epoch')"

    @staticmethod
    def _version(values: list[str]) -> str:
        """Another number for other content, of 52 bits: every JSON reader takes those exactly."""
        return f"1 + (hash_record_extended(ROW({', '.join(values)}), 0) & 4503599627370495)"
