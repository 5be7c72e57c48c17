"""How many rows a grant is given in a day: reserved before they are read, and given back if they were not there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from mosaic_federation.grant_records import grant_queries
from mosaic_hookspecs.errors import TooMany
from mosaic_hookspecs.protocols import Database
from mosaic_hookspecs.types import Answer, GrantView

_OTHERS = 0.5  # seconds; most requests are answered by then

_sql = grant_queries()


async def within_budget(
    database: Database, view: GrantView, wanted: int, read: Callable[[GrantView], Awaitable[Answer]]
) -> Answer:
    """Return what ``read`` answers to the view, with no more rows than are left of its ``max_rows_per_day``.

    ``wanted`` is the most rows that are asked for. They are reserved first, so that requests at the same time
    cannot have more together; what is not used is given back. A process that dies between the two has spent
    what it reserved. Raises :class:`TooMany`, until the end of the day in UTC, when nothing is left.
    """
    most = view.scope.max_rows_per_day
    if most is None:
        return await read(view)
    now = datetime.now(UTC)
    reserve = (_sql.rows_reserve, view.grant_id, now.date(), wanted, most)
    reserved = await database.fetchval(*reserve)
    if (
        reserved is None
    ):  # perhaps all is only asked for: a peer is not sent away for the day by its own other request
        await asyncio.sleep(_OTHERS)
        reserved = await database.fetchval(*reserve)
    if reserved is None:
        raise TooMany(
            f"the grant's {most} rows of this day (UTC) are given",
            remedy="go on after midnight UTC, or ask the admin of the gateway you are reading from for more",
            retry_after=_until_midnight(now),
        )
    used = 0
    try:
        answer = await read(_capped(view, reserved))
        used = answer.rows
    finally:
        if used < reserved:
            await _refund(database, view.grant_id, now.date(), reserved - used)
    return answer


async def rows_given(database: Database, grant_id: UUID, now: datetime) -> int:
    """Rows of the day so far, with those that are reserved this moment. Counted only with a budget."""
    given: int = await database.fetchval(_sql.rows_given, grant_id, now.date())
    return given


async def _refund(database: Database, grant_id: UUID, day: date, rows: int) -> None:
    await database.execute(_sql.rows_refund, grant_id, day, rows)


def _capped(view: GrantView, rows: int) -> GrantView:
    cap = min(view.scope.max_rows_per_query, rows)
    scope = view.scope.model_copy(update={"max_rows_per_query": cap})
    return GrantView(view.grant_id, view.subject_id, scope)


def _until_midnight(now: datetime) -> float:
    """Seconds."""
    return (datetime.combine(now.date() + timedelta(days=1), time(), UTC) - now).total_seconds()
