"""Many rows at once, as an import has them: one transaction, idempotent by external id."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from mosaic_gateway.resources.read import fill
from mosaic_gateway.resources.refusals import not_your_team, translated
from mosaic_gateway.resources.table import Table
from mosaic_gateway.resources.validation import Name, draft, from_record
from mosaic_gateway.resources.visibility import visible
from mosaic_hookspecs.errors import Fault, Invalid
from mosaic_hookspecs.protocols import Database, Queries
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import User

_sql = load_queries("mosaic_gateway.resources", "rows.sql")
_BATCH_ROWS = 1000
_BATCH_CHARACTERS = 16_000_000  # of JSON in one statement


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of the records, in rows."""

    created: int
    updated: int
    unchanged: int


class _DryRun(Exception):
    """Leaves a transaction so that it is rolled back."""


def check_record(table: Table, record: Mapping[str, object]) -> list[Fault]:
    """Return every fault of a record, without storing it."""
    try:
        draft(table, record, from_record, Name)
    except Invalid as error:
        return list(error.faults)
    return []


async def store_records(
    database: Database,
    table: Table,
    viewer: User,
    records: Sequence[Mapping[str, object]],
    team_id: UUID | None,
    *,
    dry_run: bool,
) -> Stored:
    """Store all or nothing, into one team or the viewer's personal rows.

    A record whose external id is already there changes that row, if it differs; one without always adds a
    row. Raises :class:`Invalid`, with pointers into ``records``, and :class:`Conflict`.
    """
    batches = list(_batches(_validated(table, records)))
    created = updated = 0
    try:
        with translated(table):
            async with database.transaction() as queries:
                await _check_team(queries, table, viewer, team_id)
                for batch in batches:
                    rows = await queries.fetch(_store(table), viewer.id, team_id, batch)
                    added = sum(row["created"] for row in rows)
                    created, updated = created + added, updated + len(rows) - added
                if dry_run:
                    raise _DryRun
    except _DryRun:
        pass
    return Stored(created, updated, len(records) - created - updated)


async def _check_team(queries: Queries, table: Table, viewer: User, team_id: UUID | None) -> None:
    """Old and new row share owner and team, so one question answers for both; ids do not matter to it."""
    values: list[object] = [None, viewer.id, team_id]
    sight = visible(viewer, table.resource, "r", values)
    if not await queries.fetchval(fill("may_hold", table, sight), *values):
        raise not_your_team(table)


def _validated(table: Table, records: Sequence[Mapping[str, object]]) -> list[str]:
    """Return each record as JSON text. Raises :class:`Invalid` with the faults of all of them.

    They are in the order of their external ids: two imports of the same rows then cannot deadlock.
    """
    faults: list[Fault] = []
    texts: list[tuple[str, str]] = []
    first: dict[str, int] = {}
    for index, record in enumerate(records):
        try:
            new = draft(table, record, from_record, Name)
        except Invalid as error:
            faults += [Fault(f"/{index}{fault.where}", fault.message) for fault in error.faults]
            continue
        text = json.dumps({**new.fields, "external_id": new.external_id})
        texts.append((new.external_id or "", text))
        if new.external_id is not None and (earlier := first.setdefault(new.external_id, index)) != index:
            faults.append(Fault(f"/{index}/external_id", f"the same as in record {earlier}"))
    if faults:
        raise Invalid(f"{len(faults)} faults in the records for {table.name}.", faults=faults)
    return [text for _, text in sorted(texts)]


def _batches(texts: Sequence[str]) -> Iterator[str]:
    """Join records to JSON arrays of bounded size."""
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and (len(batch) == _BATCH_ROWS or size + len(text) > _BATCH_CHARACTERS):
            yield f"[{','.join(batch)}]"
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield f"[{','.join(batch)}]"


@lru_cache(maxsize=64)
def _store(table: Table) -> str:
    text: str = _sql.store
    columns = [f'"{name}"' for name in table.fields]
    return text.format(
        table=table.name,
        fields="".join(f", {name}" for name in columns),
        new_fields="".join(f", n.{name}" for name in columns),
        changes=", ".join(f"{name} = excluded.{name}" for name in columns),
        old=", ".join(f"r.{name}" for name in columns),
        excluded=", ".join(f"excluded.{name}" for name in columns),
    )
