"""Writes of one row. Visibility is asked of the row as it was and of the row as it would be."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any
from uuid import UUID

from mosaic_gateway.resources.body import Object, parse_object
from mosaic_gateway.resources.read import fill, no_row, uuid_of
from mosaic_gateway.resources.refusals import not_your_team, translated
from mosaic_gateway.resources.table import Table
from mosaic_gateway.resources.validation import Place, draft, from_json
from mosaic_gateway.resources.visibility import Sight, visible
from mosaic_hookspecs.errors import Fault, Invalid, PreconditionFailed
from mosaic_hookspecs.protocols import Database, Queries
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import Answer, User

_sql = load_queries("mosaic_gateway.resources", "rows.sql")


async def create_row(database: Database, table: Table, viewer: User, body: bytes) -> Answer:
    """Add a row. Raises :class:`Malformed`, :class:`Invalid` and :class:`Conflict`."""
    new = draft(table, parse_object(body), from_json, Place)
    values: list[object] = [viewer.id, new.team_id, new.external_id, json.dumps(new.fields)]
    sight = visible(viewer, table.resource, "c", values)
    with translated(table):
        row = await database.fetchrow(_create(table, sight), *values)
    if row is None:
        raise not_your_team(table)
    return Answer(row["item"].encode(), 1, row["version"])


async def update_row(
    database: Database, table: Table, viewer: User, row_id: str, body: bytes, if_match: int | None
) -> Answer:
    """Change the given fields of a row (RFC 7396, top level). ``null`` empties a field that may be empty.

    Raises :class:`NotFound`, :class:`Malformed`, :class:`Invalid`, :class:`Conflict` and
    :class:`PreconditionFailed`.
    """
    given = parse_object(body)
    values: list[object] = [uuid_of(table, row_id)]
    sight = visible(viewer, table.resource, "r", values)
    with translated(table):
        async with database.transaction() as queries:
            old = _locked(table, await queries.fetchrow(fill("lock", table, sight), *values), if_match)
            changes = _changes(table, old, given)
            if "team_id" in changes:
                await _check_place(queries, table, viewer, values[0], old["owner_id"], changes["team_id"])
            [row] = await queries.fetch(_update(table, tuple(changes)), values[0], json.dumps(changes))
    return Answer(row["item"].encode(), 1, row["version"])


async def delete_row(
    database: Database, table: Table, viewer: User, row_id: str, if_match: int | None
) -> None:
    """Remove a row. Raises :class:`NotFound`, :class:`Conflict` and :class:`PreconditionFailed`."""
    values: list[object] = [uuid_of(table, row_id)]
    sight = visible(viewer, table.resource, "r", values)
    with translated(table):
        async with database.transaction() as queries:
            _locked(table, await queries.fetchrow(fill("lock_version", table, sight), *values), if_match)
            await queries.execute(_sql.delete.format(table=table.name), values[0])


def _locked(table: Table, old: Any, if_match: int | None) -> Any:
    if old is None:
        raise no_row(table)
    if if_match is not None and if_match != old["version"]:
        raise PreconditionFailed(
            f"The row is at version {old['version']}, not {if_match}.",
            remedy="read it again, then repeat the change",
        )
    return old


def _changes(table: Table, old: Any, given: Object) -> dict[str, Any]:
    """Validate the merged row; return JSON values of the columns that differ, in the table's order."""
    before = json.loads(old["fields"]) | {"team_id": old["team_id"] and str(old["team_id"])}
    merged = Object(before | given)
    merged.duplicates = given.duplicates
    new = draft(table, merged, from_json, Place)
    after = {**new.fields, "external_id": new.external_id, "team_id": new.team_id and str(new.team_id)}
    return {name: value for name, value in after.items() if value != before[name]}


async def _check_place(
    queries: Queries, table: Table, viewer: User, row_id: object, owner: UUID, team: str | None
) -> None:
    values: list[object] = [row_id, owner, team and UUID(team)]
    sight = visible(viewer, table.resource, "r", values)
    if await queries.fetchval(fill("may_hold", table, sight), *values):
        return
    if team is not None:
        raise not_your_team(table)
    message = "only its owner can make the row personal"
    raise Invalid(f"The row is not valid for {table.name}.", faults=[Fault("/team_id", message)])


@lru_cache(maxsize=128)
def _create(table: Table, sight: Sight) -> str:
    text: str = _sql.create
    return text.format(
        table=table.name,
        fields="".join(f', "{name}"' for name in table.fields),
        new_fields="".join(f', n."{name}"' for name in table.fields),
        visible=sight.predicate,
        item=table.item,
    )


@lru_cache(maxsize=512)
def _update(table: Table, names: tuple[str, ...]) -> str:
    text: str = _sql.update
    changes = "".join(f'"{name}" = n."{name}", ' for name in names)
    return text.format(table=table.name, changes=changes, item=table.item)
