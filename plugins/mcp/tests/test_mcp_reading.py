"""Bounds, and what no row of a peer can do, without a gateway."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp_types import CLIENT_CAPABILITIES_META_KEY, PROTOCOL_VERSION_META_KEY
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from quart import Quart, g

from mosaic_hookspecs.errors import MosaicError, TooMany
from mosaic_hookspecs.sources import Merged, Report
from mosaic_hookspecs.types import Decision, User
from mosaic_mcp.calls import ListRows
from mosaic_mcp.reading import Caller, Reading
from mosaic_mcp.route import mount
from mosaic_mcp.settings import Settings

LEAD = Caller(User(UUID(int=1), "lead"), "r")


class Host:
    """As much of a host as is read here: one answer of all sources, and a limiter."""

    def __init__(self, merged: Merged, *, left: int = 100, **settings: Any) -> None:
        self._merged, self._left, self._settings = merged, left, Settings(**settings)
        self.sources = self
        self.asked: list[dict[str, str]] = []

    def settings(self, _model: object) -> Settings:
        return self._settings

    def limiter(self) -> Any:
        return SimpleNamespace(take=self._take)

    async def _take(self, key: str, _rate: object) -> Decision:
        assert key == str(LEAD.user.id)
        self._left -= 1
        return Decision(self._left >= 0, max(self._left, 0), 30.0)

    async def list(self, _user: User, _name: str, params: dict[str, str], *_: object) -> Merged:
        self.asked.append(params)
        return self._merged


def merged(*rows: dict[str, Any]) -> Merged:
    return Merged(
        [{**row, "source": "peer:work"} for row in rows], [Report("peer:work", "ok", rows=len(rows))]
    )


def reading(host: Host) -> Reading:
    return Reading(host)  # type: ignore[arg-type]


async def test_one_users_calls_are_counted() -> None:
    door = reading(Host(merged(), left=2))
    for _ in range(2):
        await door.answer(LEAD, ListRows(resource="tasks"))
    with pytest.raises(TooMany, match="try again in 30 s"):
        await door.answer(LEAD, ListRows(resource="tasks"))


async def test_an_operator_bounds_rows_and_bytes() -> None:
    host = Host(merged({"id": "1", "title": "x" * 2000}), rows=7, bytes=1024)
    with pytest.raises(MosaicError, match="bytes") as refusal:
        await reading(host).answer(LEAD, ListRows(resource="tasks", limit=200))
    assert host.asked == [{"limit": "7"}]
    assert "xx" not in str(refusal.value)


_JSON = st.recursive(st.none() | st.booleans() | st.text(), lambda inner: st.lists(inner, max_size=3))
_KEYS = st.sampled_from(["id", "title", "resource", "rows", "sources", "fields"]) | st.text()


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # a busy machine is no finding
@given(rows=st.lists(st.dictionaries(_KEYS, _JSON, max_size=4), max_size=3))
async def test_whatever_a_peers_row_holds_its_source_is_told_and_the_answer_is_json(
    rows: list[dict[str, Any]],
) -> None:
    host = Host(merged(*rows), bytes=10_000_000)
    told = json.loads((await reading(host).answer(LEAD, ListRows(resource="tasks"))).text)
    assert [set(row) for row in told["rows"]] == [{"source", "resource", "fields"}] * len(rows)
    assert all(row["source"] == "peer:work" and row["resource"] == "tasks" for row in told["rows"])
    assert [each["name"] for each in told["sources"]] == ["peer:work"]


async def called(host: Host, arguments: dict[str, Any]) -> Any:
    """What an agent is answered that calls list_rows."""
    host.gateway_name, host.public_url = "work", "http://127.0.0.1:8080"  # type: ignore[attr-defined]
    host.rows = SimpleNamespace(names=list)  # type: ignore[attr-defined]
    app = Quart(__name__)
    app.register_blueprint(mount(host).blueprint)  # type: ignore[arg-type]

    @app.before_request
    async def guard() -> None:
        g.viewer, g.request_id = LEAD.user, "r7"

    release = MODERN_PROTOCOL_VERSIONS[0]  # older ones read JSON more strictly
    envelope = {PROTOCOL_VERSION_META_KEY: release, CLIENT_CAPABILITIES_META_KEY: {}}
    call = {"name": "list_rows", "arguments": arguments, "_meta": envelope}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": release,
        "Mcp-Method": "tools/call",
        "Mcp-Name": "list_rows",
    }
    return (await (await app.test_client().post("/mcp", json=message, headers=headers)).get_json())["result"]


@pytest.mark.parametrize(
    "arguments", [{"where": {"title": "\ud800"}}, {"where": {"\ud800": "x"}}, {"cursor": "\ud800"}]
)
async def test_half_a_surrogate_pair_is_refused_before_any_source_is_asked(
    caplog: pytest.LogCaptureFixture, arguments: dict[str, Any]
) -> None:
    host = Host(merged())
    answer = await called(host, {"resource": "tasks", "sources": "peer:*", **arguments})
    assert answer["isError"] is True
    assert answer["content"][0]["text"].startswith("invalid: ")
    assert host.asked == []
    assert "Traceback" not in caplog.text


async def test_what_goes_wrong_inside_is_in_the_log_and_nowhere_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = Host(merged())
    host.list = _raising  # type: ignore[method-assign]
    answer = await called(host, {"resource": "tasks"})
    assert answer["isError"] is True
    assert "request r7" in answer["content"][0]["text"]
    assert ("hunter2" in str(answer), "hunter2" in caplog.text) == (False, True)


async def _raising(*_: object) -> Merged:
    raise RuntimeError("postgresql://mosaic:hunter2@db refuses")
