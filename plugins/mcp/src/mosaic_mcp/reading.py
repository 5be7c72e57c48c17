"""The tools themselves: what a user sees, read as every other request of theirs reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mosaic_hookspecs.errors import MosaicError, TooMany
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sources import Asked, Merged, Report
from mosaic_hookspecs.types import Rate, User
from mosaic_mcp.calls import GetRow, ListRows, SearchRows
from mosaic_mcp.settings import Settings

_ANSWERED = {"ok", "stale"}


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose token the agent has, and the request it came with."""

    user: User
    request_id: str


@dataclass(frozen=True, slots=True)
class Found:
    """An answer as JSON; ``failed`` if no source that was asked has answered."""

    text: str
    failed: bool = False


class Reading:
    """Answers calls. Raises a :class:`MosaicError` that may be shown to the caller."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._settings = host.settings(Settings)
        self._rate = Rate("mcp", self._settings.calls_per_minute, 60)

    async def answer(self, caller: Caller, call: ListRows | GetRow | SearchRows) -> Found:
        """Count the call and answer it."""
        decision = await self._host.limiter().take(str(caller.user.id), self._rate)
        if not decision.allowed:
            raise TooMany(
                "Too many calls by this user's agents.", retry_after=decision.retry_after, rate=self._rate
            )
        match call:
            case ListRows():
                found = await self._list(caller, call)
            case SearchRows():
                found = await self._search(caller, call)
            case GetRow():
                found = await self._get(caller, call)
        self._refuse_large(found)
        return found

    async def _list(self, caller: Caller, call: ListRows) -> Found:
        params = {**call.params(), "limit": self._limit(call.limit)}
        merged = await self._host.sources.list(
            caller.user, call.resource, params, call.sources, self._asked(caller)
        )
        return _found(merged, call.resource)

    async def _search(self, caller: Caller, call: SearchRows) -> Found:
        params = {"q": call.q, "limit": self._limit(call.limit)}
        merged = await self._host.sources.search(
            caller.user, call.resources, params, call.sources, self._asked(caller)
        )
        return _found(merged)

    async def _get(self, caller: Caller, call: GetRow) -> Found:
        """Of this gateway by its id; of another, which lists only, the one row that has it."""
        if call.source == "local":
            row = json.loads((await self._host.rows.get(caller.user, call.resource, call.id)).body)
            return _found(
                Merged([{**row, "source": "local"}], [Report("local", "ok", rows=1)]), call.resource
            )
        merged = await self._host.sources.list(
            caller.user, call.resource, {"id": call.id, "limit": "1"}, call.source, self._asked(caller)
        )
        return _found(merged, call.resource, wanted=1)

    def _limit(self, asked: int) -> str:
        return str(min(asked, self._settings.rows))

    def _asked(self, caller: Caller) -> Asked:
        return Asked(self._settings.seconds, request_id=caller.request_id)

    def _refuse_large(self, found: Found) -> None:
        size, most = len(found.text.encode()), self._settings.bytes
        if size > most:
            raise MosaicError(
                f"The answer has {size} bytes, and one may have {most}.",
                remedy="ask for fewer rows (`limit`), or for what is in them with `search_rows`",
            )


def _found(merged: Merged, resource: str = "", *, wanted: int = 0) -> Found:
    """Each row apart from what is said of it, so that no field of a row passes for its source."""
    items = [_item(row, resource) for row in merged.items]
    sources = [_report(each) for each in merged.sources]
    silent = not any(each.status in _ANSWERED for each in merged.sources)
    body: dict[str, Any] = {"rows": items, "sources": sources}
    if merged.next_cursor:
        body["next_cursor"] = merged.next_cursor
    # another gateway's text may hold half a surrogate pair, which is no UTF-8
    text = json.dumps(body, ensure_ascii=False).encode(errors="replace").decode()
    return Found(text, failed=silent or len(items) < wanted)


def _item(row: Mapping[str, Any], resource: str) -> dict[str, Any]:
    beside = {"source"} if resource else {"source", "resource"}
    fields = {name: value for name, value in row.items() if name not in beside}
    return {"source": row["source"], "resource": resource or row["resource"], "fields": fields}


def _report(report: Report) -> dict[str, Any]:
    told = {"name": report.name, "status": report.status, "rows": report.rows, "age_s": report.age_s}
    told |= {"detail": report.detail, "remedy": report.remedy}
    return {name: value for name, value in told.items() if value not in (None, "")}
