"""Why a viewer sees a row or not, in words: for whoever runs the gateway, never for the viewer."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from typing import Any

from mosaic_gateway.resources.read import fill, uuid_of
from mosaic_gateway.resources.table import Table, shown
from mosaic_gateway.resources.visibility import visible
from mosaic_hookspecs.errors import NotFound
from mosaic_hookspecs.protocols import Database
from mosaic_hookspecs.scope import Scope, like_credentials
from mosaic_hookspecs.types import Explanation, GrantView, Survey, Viewer


async def explain_row(database: Database, table: Table, viewer: Viewer, row_id: str) -> Explanation:
    """Apply the one visibility rule, and say what led to its answer."""
    granted = isinstance(viewer, GrantView)
    subject = viewer.subject_id if isinstance(viewer, GrantView) else viewer.id
    values: list[object] = [uuid_of(table, row_id), subject]
    try:
        sight = visible(viewer, table.resource, "r", values)
    except NotFound:
        if not isinstance(viewer, GrantView):
            raise
        return Explanation(False, (_closed(table, viewer.scope),))
    row = await database.fetchrow(fill("facts", table, sight), *values)
    if row is None:
        return Explanation(False, (f"{table.name} has no row with this id",))
    reasons = _subject_reasons(row, "the grant's subject" if granted else "the user")
    further = _scope_reasons(table, viewer.scope, row, values[0]) if isinstance(viewer, GrantView) else ()
    return Explanation(row["visible"], (*reasons, *further))


async def survey_rows(database: Database, table: Table, viewer: Viewer, ids: Collection[str]) -> Survey:
    """Count what the visibility rule shows, and which of the ids, as hex SHA-256, are among it."""
    values: list[object] = [list(ids)]
    try:
        sight = visible(viewer, table.resource, "r", values)
    except NotFound:
        return Survey(0, frozenset())
    [row] = await database.fetch(fill("survey", table, sight), *values)
    return Survey(row["rows"], frozenset(row["known"]))


def _closed(table: Table, scope: Scope) -> str:
    if not table.resource.federable:
        return f"hidden: {table.name} is never shared with peers"
    if scope.has_ended(datetime.now(UTC)):
        return "hidden: the scope has ended"
    if like_credentials(table.name):
        return f"hidden: {table.name} is named like credentials, which are never shared"
    if table.name in scope.excluded_resources:
        return f"hidden: the scope excludes {table.name}"
    return f"hidden: the scope does not name {table.name}"


def _subject_reasons(row: Any, who: str) -> Iterator[str]:
    if row["team_id"] is None and row["own"]:
        yield f"allowed: a personal row of {who}"
    elif row["team_id"] is None:
        yield f"hidden: a personal row of somebody else than {who}"
    elif row["member"]:
        yield f"allowed: a row of team {row['team_id']}, of which {who} is a member"
    else:
        yield f"hidden: a row of team {row['team_id']}, of which {who} is not a member"


def _scope_reasons(table: Table, scope: Scope, row: Any, row_id: object) -> Iterator[str]:
    yield f"allowed: the scope names {table.name}"
    if (columns := scope.columns(table.name)) is not None:
        yield f"allowed: of its columns only {', '.join(shown(table, columns).columns)}"
    team = row["team_id"]
    if team is None and scope.include_personal:
        yield "allowed: the scope includes personal rows"
    elif team is None:
        yield "hidden: the scope does not include personal rows"
    elif scope.include_teams == "all":
        yield "allowed: the scope includes all teams of the subject"
    elif team in scope.include_teams:
        yield f"allowed: the scope includes team {team}"
    else:
        yield f"hidden: the scope does not include team {team}"
    if row_id in scope.excluded_rows(table.name):
        yield "hidden: the scope excludes this row"
