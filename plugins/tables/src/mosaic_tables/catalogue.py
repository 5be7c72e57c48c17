"""What the catalogue of Postgres says of a configured table, and every way in which it cannot be shared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mosaic_hookspecs.errors import ConfigError, Fault
from mosaic_hookspecs.protocols import Queries
from mosaic_hookspecs.sql import load_queries
from mosaic_tables.columns import KEYS, KINDS, NAMES, TEXTS, TIMES, Column
from mosaic_tables.settings import SharedTable, table_name

_sql = load_queries("mosaic_tables", "queries.sql")
_NAMED = frozenset({"owner", "team"})  # whoever is named sees the row
_EXACTLY = 'share a view of yours that gives it COLLATE "C"'
_OF_ROW = ("oid", "quoted", "kind", "large", "unguarded", "above_policies")
_CAN_BE_UNIQUE = frozenset("rpm")  # kinds of relations with indexes: of a view nothing says what is unique


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view as it is now."""

    oid: int
    quoted: str
    kind: str
    large: bool  # so that an index makes a difference
    unguarded: bool  # it has row-level security, which the gateway's role does not come under
    above_policies: bool  # no table's holds for that role
    columns: Mapping[str, Column]


async def look_up(queries: Queries, name: str, shared: SharedTable) -> Relation:
    """Return what is shared under ``name``. Raises :class:`ConfigError` with every fault, by its key."""
    where = f"plugins.tables.resources.{name}"
    row = await queries.fetchrow(_sql.relation, *table_name(shared.table))
    if row is None:
        raise _wrong(name, [Fault(f"{where}.table", f"there is no table or view {shared.table}")])
    if not row["reachable"]:
        grant = f"GRANT USAGE ON SCHEMA {row['schema']} TO {row['role']}"
        raise _wrong(
            name, [Fault(f"{where}.table", f"the gateway may not use its schema; as its owner: {grant}")]
        )
    columns = {
        each["name"]: Column(**{key: each[key] for key in Column.__dataclass_fields__})
        for each in await queries.fetch(_sql.columns, row["oid"])
    }
    found = Relation(columns=columns, **{key: row[key] for key in _OF_ROW})
    faults = [Fault(f"{where}.{fault.where}", fault.message) for fault in _faults(shared, found, row["role"])]
    if faults:
        raise _wrong(name, faults)
    return found


def _wrong(name: str, faults: list[Fault]) -> ConfigError:
    remedy = "mend the keys above, or the table; nothing is shared of it until then"
    return ConfigError(
        f"resource {name!r} cannot be shared as it is configured", faults=faults, remedy=remedy
    )


def _faults(shared: SharedTable, found: Relation, role: str) -> Iterator[Fault]:
    used = set()
    for key, name, types, wanted in _uses(shared):
        column = found.columns.get(name)
        if column is None:
            yield Fault(key, f"{shared.table} has no column {name!r}; it has {', '.join(found.columns)}")
        elif column.type not in types:
            yield Fault(key, f"{name!r} is of type {column.shown}, and {wanted}")
        elif not column.readable:
            used.add(column.quoted)
            yield Fault(key, f"the gateway may not read {name!r}")
        elif key in _NAMED and not column.exact:
            yield Fault(key, f"the collation of {name!r} takes different names for one: {_EXACTLY}")
        elif key == "id" and not column.unique and found.kind in _CAN_BE_UNIQUE:
            yield Fault(key, f"no unique index or primary key is on {name!r} alone: two rows could be one")
    if used:
        grant = f"GRANT SELECT ({', '.join(sorted(used))}) ON {found.quoted} TO {role}"
        yield Fault("table", f"as its owner: {grant}")


def _uses(shared: SharedTable) -> Iterator[tuple[str, str, frozenset[str], str]]:
    """Each key that names a column, the column, the types it may be of, and that in words."""
    yield "id", shared.id, KEYS, "a key is a uuid, an integer or a text"
    names, words = (frozenset({"uuid"}), "an id is a uuid"), (NAMES, "a name is a text")
    yield "owner", shared.owner, *(names if shared.owner_is == "id" else words)
    if shared.team is not None:
        yield "team", shared.team, *(names if shared.team_is == "id" else words)
    for key, time in (("created_at", shared.created_at), ("updated_at", shared.updated_at)):
        if time is not None:
            yield key, time, frozenset(TIMES), "a time is a timestamp or a date"
    cannot = "rows cannot be shared with one: leave it out, or share a view of yours that casts it to text"
    for name, column in shared.fields.items():
        yield f"columns.{name}", column, frozenset(KINDS), cannot
    for name in shared.search:
        yield f"search.{name}", shared.fields[name], TEXTS, "a search looks through texts"
