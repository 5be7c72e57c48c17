"""`mosaic federation scope simulate`: recent requests against another scope."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from hashlib import sha256
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner

from mosaic_federation.cli import federation
from mosaic_federation.simulating import Changed, Replayed, simulate
from mosaic_gateway.cli.shell import Shell
from mosaic_hookspecs.errors import Invalid, NotFound


class Host:
    """The gateway, with an audit log that says what the test wants."""

    def __init__(self, host: Any) -> None:
        self._host = host
        self.rows_asked: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def asked(self, verb: str, resource: str, query: str, outcome: str = "ok") -> None:
        said = {
            "verb": verb,
            "resource": resource,
            "query_hash": sha256(query.encode()).hexdigest(),
            "outcome": outcome,
        }
        self.rows_asked.append(SimpleNamespace(payload=json.dumps(said)))

    def audit_log(self) -> Any:
        async def rows_of(_grant_id: Any, *, since: Any) -> Any:
            for row in self.rows_asked:
                yield row

        return SimpleNamespace(rows_of=rows_of)


@pytest.fixture
async def asked(world: Any) -> Any:
    """A grant of tasks and notes, two tasks, a note, and the requests of a day."""
    offer = await world.offer()
    ada = await world.host.identity.user("ada")
    host = Host(world.host)

    async def add(resource: str) -> str:
        return str(json.loads((await host.rows.create(ada, resource, b'{"title": "x"}')).body)["id"])

    kept, withheld, note = await add("tasks"), await add("tasks"), await add("notes")
    host.asked("whoami", "", "")
    for query in ("", "limit=3"):
        host.asked("list", "tasks", query)
    host.asked("search", "notes", "q=x")
    host.asked("list", "tasks", "nonsense=1", "malformed-request")
    for row_id in (kept, withheld):
        host.asked("get", "tasks", row_id)
    host.asked("get", "notes", note)
    host.asked("get", "tasks", str(uuid4()), "not-found")
    host.asked("get", "tasks", "of a row that was deleted since")
    return host, offer.grant.id, withheld


async def test_it_says_of_each_kind_of_request_what_would_become_of_it(asked: Any) -> None:
    host, grant_id, withheld = asked
    scope = {
        "resources": ["tasks"],
        "include_personal": True,
        "excluded_resources": [f"tasks/{withheld}"],
        "fields": {"tasks": ["title", "status"]},
    }
    told: list[int] = []
    found = await simulate(host, grant_id, scope, days=7, progress=told.append)
    assert found.requests == (
        Replayed("get", "notes", "answered", "refused", 1),
        Replayed("get", "tasks", "answered", "answered", 1),
        Replayed("get", "tasks", "answered", "not known", 1),
        Replayed("get", "tasks", "answered", "refused", 1),
        Replayed("get", "tasks", "refused", "refused", 1),
        Replayed("list", "tasks", "answered", "answered", 2),
        Replayed("list", "tasks", "refused", "not known", 1),
        Replayed("search", "notes", "answered", "refused", 1),
    )
    assert found.lost == 3
    tasks, notes = sorted(found.resources, key=lambda each: each.resource, reverse=True)
    assert (tasks.rows_now, tasks.rows_then, notes) == (2, 1, Changed("notes", 1, 0, ()))
    assert {"body", "owner_id", "created_at"} <= set(tasks.hidden_columns)
    assert not {"id", "title", "status"} & set(tasks.hidden_columns)
    assert told == [10]


async def test_the_same_scope_changes_nothing(asked: Any) -> None:
    host, grant_id, _ = asked
    scope = {"resources": ["tasks", "notes"], "include_personal": True}
    found = await simulate(host, grant_id, scope, days=7, progress=lambda _: None)
    assert found.lost == 0
    assert all(each.rows_now == each.rows_then for each in found.resources)


async def test_what_is_no_scope_and_what_is_no_grant_are_refused(asked: Any) -> None:
    host, grant_id, _ = asked
    with pytest.raises(Invalid):
        await simulate(host, grant_id, {"resources": ["nothing"]}, days=7, progress=lambda _: None)
    with pytest.raises(NotFound):
        await simulate(host, uuid4(), {"resources": ["tasks"]}, days=7, progress=lambda _: None)


class Line(Shell):
    """The real command line, over a gateway that is up already."""

    def __init__(self, host: Any) -> None:
        super().__init__(None, debug=False)
        self._host, self._loop = host, asyncio.get_running_loop()

    def run(self, plugin: str, work: Callable[[Any], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            return await work(self._host)

        return asyncio.run_coroutine_threadsafe(main(), self._loop).result(60)


@pytest.mark.parametrize("as_json", [True, False])
async def test_the_command_says_it_in_tables_or_json_and_exits_with_1_if_something_is_lost(
    asked: Any, as_json: bool
) -> None:
    host, grant_id, withheld = asked
    same = {"resources": ["tasks", "notes"], "include_personal": True}
    less = same | {"resources": ["tasks"], "excluded_resources": [f"tasks/{withheld}"]}

    async def run(scope: dict[str, Any]) -> Any:
        more = ["--json"] if as_json else []
        command = ["scope", "simulate", str(grant_id), "--scope", "-", *more]
        return await asyncio.to_thread(
            CliRunner().invoke, federation, command, input=json.dumps(scope), obj=line
        )

    line = Line(host)
    done, nothing = await run(less), await run(same)
    assert (done.exit_code, nothing.exit_code) == (1, 0), (done.output, nothing.output)
    if as_json:
        told = json.loads(done.stdout)
        assert (told["lost"], json.loads(nothing.stdout)["lost"]) == (3, 0)
        assert {"resource": "notes", "rows_now": 1, "rows_then": 0, "hidden_columns": []} in told["resources"]
        assert {each["verb"] for each in told["requests"]} == {"get", "list", "search"}
    else:
        lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
        assert "search notes answered refused 1" in lines
        assert "notes 1 0" in lines
        assert lines[-1].startswith("3 request(s) since ")
