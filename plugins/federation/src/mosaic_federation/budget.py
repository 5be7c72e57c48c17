"""How many rows a grant is given in a day: read with no more than are left, and counted before they leave."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

from mosaic_federation.grant_records import grant_queries
from mosaic_hookspecs.errors import TooMany
from mosaic_hookspecs.protocols import Database
from mosaic_hookspecs.types import Answer, GrantView

_sql = grant_queries()


async def within_budget(
    database: Database, view: GrantView, read: Callable[[GrantView], Awaitable[Answer]]
) -> Answer:
    """Return what ``read`` answers to the view, with no more rows than are left of its ``max_rows_per_day``.

    Rows are counted when they are there, so what is refused or not found costs none, and no request holds rows that
    another could have. Raises :class:`TooMany`, until the end of the day in UTC, when nothing is left.
    """
    most = view.scope.max_rows_per_day
    if most is None:
        return await read(view)
    now = datetime.now(UTC)
    left = most - await rows_given(database, view.grant_id, now)
    if left <= 0:
        raise _spent(most, now)
    answer = await read(_capped(view, left))
    if not answer.rows:
        return answer
    taken = await database.fetchval(_sql.rows_take, view.grant_id, now.date(), answer.rows, most)
    if taken is None:
        raise _spent(most, now)
    if taken < answer.rows:  # requests at the same time were given the others
        return await read(_capped(view, taken))
    return answer


async def rows_given(database: Database, grant_id: UUID, now: datetime) -> int:
    """Rows of the day so far. Counted only with a budget."""
    given: int = await database.fetchval(_sql.rows_given, grant_id, now.date())
    return given


def _spent(most: int, now: datetime) -> TooMany:
    return TooMany(
        f"the grant's {most} rows of this day (UTC) are given",
        remedy="go on after midnight UTC, or ask the admin of the gateway you are reading from for more",
        retry_after=_until_midnight(now),
    )


def _capped(view: GrantView, rows: int) -> GrantView:
    cap = min(view.scope.max_rows_per_query, rows)
    scope = view.scope.model_copy(update={"max_rows_per_query": cap})
    return GrantView(view.grant_id, view.subject_id, scope)


def _until_midnight(now: datetime) -> float:
    """Seconds."""
    return (datetime.combine(now.date() + timedelta(days=1), time(), UTC) - now).total_seconds()
