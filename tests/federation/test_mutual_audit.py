"""Two gateways hold each other to their logs: traces cross both, and what one side lacks is named."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from mosaic_runs import run_mosaic

NAME = "audited"  # what home calls work here
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CLIENTS = 8
MONTH = "SELECT tableoid::regclass::text FROM federation_audit_log ORDER BY at DESC LIMIT 1"


@pytest.fixture(scope="module")
def shared(gateways: Any) -> Any:
    """Home reads two tasks of work's, and both have a checkpoint."""
    home, work = gateways
    for number in range(2):
        work.add("tasks", title=f"water plant {number}")
    offer = work.offer()
    home.json("federation", "peer", "add", offer["url"], "--name", NAME, "--yes")
    work.run("audit", "checkpoint")
    return offer


def ask(home: Any, path: str = "tasks", **headers: str) -> httpx.Response:
    with home.http() as client:
        return client.get(f"/v1/peers/{NAME}/{path}", headers=headers)


def rows_of(gateway: Any, request_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = gateway.json("audit", "query", "--request", request_id)
    return found


def reconciled(home: Any) -> Any:
    """What reconcile prints; it exits with 1 exactly if there is a difference."""
    command = ("audit", "reconcile", NAME, "--tolerance", "0", "--since", "1h", "--json")
    done = run_mosaic("--config", home.config, *command, env=home.variables)
    found = json.loads(done.stdout)
    assert done.returncode == bool(found["differences"]), done.stderr
    return found


@asynccontextmanager
async def unguarded(gateway: Any) -> AsyncIterator[tuple[Any, str]]:
    """Its log as who owns the database can change it; and the table of this month."""
    async with gateway.database() as database:
        month = await database.fetchval(MONTH)
        await database.execute(f"ALTER TABLE {month} DISABLE TRIGGER append_only")
        try:
            yield database, month
        finally:
            await database.execute(f"ALTER TABLE {month} ENABLE TRIGGER append_only")


@asynccontextmanager
async def without(gateway: Any, request_id: str) -> AsyncIterator[None]:
    """The log lacks the rows of a request for a while."""
    async with unguarded(gateway) as (database, month):
        await database.execute(
            f"CREATE TABLE gone AS SELECT * FROM {month} WHERE request_id = '{request_id}'"
        )
        await database.execute(f"DELETE FROM {month} WHERE request_id = '{request_id}'")
        try:
            yield
        finally:
            await database.execute(f"INSERT INTO {month} SELECT * FROM gone")
            await database.execute("DROP TABLE gone")


def test_a_call_is_traced_across_both(home: Any, work: Any, shared: Any) -> None:
    request_id = uuid4().hex
    answer = ask(home, **{"X-Request-ID": request_id, "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
    assert answer.headers["traceresponse"].startswith(f"00-{TRACE}-")
    [asked], [answered] = rows_of(home, request_id), rows_of(work, request_id)
    assert (asked["direction"], answered["direction"]) == ("asked", "answered")
    both = (
        "trace_id",
        "grant_id",
        "subject_id",
        "serial",
        "verb",
        "resource",
        "query_hash",
        "outcome",
        "rows",
    )
    assert {key: asked[key] for key in both} == {key: answered[key] for key in both}
    assert (asked["trace_id"], asked["rows"]) == (TRACE, len(answer.json()["items"]))
    assert asked["bytes_out"] == answered["bytes_out"] == len(answer.content)
    assert (asked["peer"], answered["peer"]) == (NAME, "home")


@pytest.mark.parametrize(
    "sent", ["", "00-xyz-1-01", f"ff-{TRACE}-00f067aa0ba902b7-01"], ids=["none", "junk", "ff"]
)
def test_what_is_no_trace_is_replaced(home: Any, shared: Any, sent: str) -> None:
    answer = ask(home, "nothing", traceparent=sent)
    assert answer.status_code == 404
    trace = answer.json()["trace_id"]
    assert len(trace) == 32
    assert trace != TRACE
    assert answer.headers["traceresponse"][3:35] == trace


def test_both_records_agree_also_on_refusals_and_searches(home: Any, work: Any, shared: Any) -> None:
    with home.http() as client:
        known = client.get(f"/v1/peers/{NAME}/tasks").json()["items"][0]["id"]
        client.get(f"/v1/peers/{NAME}/tasks/search", params={"q": "plant + 1", "limit": "1"})
        client.get("/v1/search", params={"q": "plant", "sources": f"peer:{NAME}"})
        for path in (f"tasks/{known}", f"tasks/{uuid4()}", "unknown", "tasks?sort=nothing"):
            client.get(f"/v1/peers/{NAME}/{path}")
    home.run("federation", "list", NAME, "tasks")
    found = reconciled(home)
    assert (found["differences"], found["agreed"] >= 8, found["head"] >= 1) == ([], True, True)


async def test_what_one_side_lacks_or_says_otherwise_is_named(home: Any, work: Any, shared: Any) -> None:
    ids = {kind: uuid4().hex for kind in ("only-ours", "only-theirs", "differs")}
    for request_id in ids.values():
        rows = len(ask(home, **{"X-Request-ID": request_id}).json()["items"])
    true, false = f'"rows":{rows}', f'"rows":{rows + 5}'
    for gateway in (home, work):  # what is covered is covered: the log is whole again afterwards
        gateway.run("audit", "checkpoint")
    edit = "UPDATE {} SET payload = replace(payload, '{}', '{}') WHERE request_id = $1"
    async with (
        unguarded(work) as (database, month),
        without(work, ids["only-ours"]),
        without(home, ids["only-theirs"]),
    ):
        await database.execute(edit.format(month, true, false), ids["differs"])
        found = reconciled(home)["differences"]
        await database.execute(edit.format(month, false, true), ids["differs"])
    assert {each["kind"]: each["request_id"] for each in found} == ids
    assert {each["what"] for each in found if each["kind"] == "differs"} == {
        f"rows {rows} here, {rows + 5} there"
    }


class Relay:
    """Stands between; ``lose`` has it drop whatever comes back, and the connection with it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.lose = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, on = await asyncio.open_connection("127.0.0.1", self.port)

        async def there() -> None:
            while data := await reader.read(65_536):
                on.write(data)

        task = asyncio.create_task(there())
        while data := await back.read(65_536):
            if self.lose:
                break
            writer.write(data)
        task.cancel()
        writer.transport.abort()
        on.transport.abort()


async def test_an_answer_that_never_came_is_named_as_lost(home: Any, work: Any, shared: Any) -> None:
    request_id, relay = uuid4().hex, Relay(work.peer_port)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    move = f"UPDATE federation_peers SET failures = 0, retry_at = NULL, url = $1 WHERE name = '{NAME}'"
    async with home.database() as database, httpx.AsyncClient(base_url=home.public, timeout=60) as client:
        client.headers["Authorization"] = f"Bearer {home.token}"
        await database.execute(move, f"https://127.0.0.1:{port}")
        try:
            assert (await client.get(f"/v1/peers/{NAME}/tasks")).status_code == 200
            relay.lose = True
            headers = {"X-Request-ID": request_id, "Cache-Control": "no-cache"}
            asked = await client.get(f"/v1/peers/{NAME}/tasks", headers=headers)
            assert asked.status_code == 503
        finally:
            await database.execute(move, work.link)
            server.close()
    [row] = rows_of(home, request_id)
    assert row["outcome"] == "no-answer"
    found = [each["kind"] for each in reconciled(home)["differences"] if each["request_id"] == request_id]
    assert found == ["lost"]


async def test_no_record_no_answer(home: Any, work: Any, shared: Any) -> None:
    async with home.database() as database:
        month = await database.fetchval(MONTH)
        await database.execute(f"ALTER TABLE {month} ADD CONSTRAINT full_up CHECK (seq < 0) NOT VALID")
        try:
            answer = ask(home)
            with home.http() as client:
                merged = client.get("/v1/tasks", params={"sources": f"local,peer:{NAME}"})
        finally:
            await database.execute(f"ALTER TABLE {month} DROP CONSTRAINT full_up")
    assert (answer.status_code, "plant" in answer.text) == (503, False)
    assert merged.status_code == 200
    assert "plant" not in merged.text
    assert [each["status"] for each in merged.json()["sources"]] == ["ok", "unavailable"]
    assert ask(home).status_code == 200


async def test_a_log_is_held_to_what_was_said_of_it(home: Any, work: Any, shared: Any, tmp_path: Any) -> None:
    head = reconciled(home)["head"]
    kept = tmp_path / "kept.json"
    kept.write_text(home.run("audit", "witness", NAME, "--json"))
    assert json.loads(kept.read_text())["number"] == head
    assert work.json("audit", "verify", "--checkpoint", str(kept))[0]["broken_at"] is None
    assert work.json("audit", "witness", "home")["number"] >= 1
    later = "number + 1000000, payload, signature, key"  # as if it had said more than it has now
    async with home.database() as database:
        await database.execute(
            f"INSERT INTO federation_heads (side, grant_id, number, payload, signature, key) "
            f"SELECT side, grant_id, {later} FROM federation_heads WHERE grant_id = $1 LIMIT 1",
            UUID(shared["id"]),
        )
        [found] = [each for each in reconciled(home)["differences"] if each["kind"] == "head"]
    assert "does not show its checkpoint" in found["what"]


async def test_no_user_is_given_an_answer_without_a_row_when_the_gateway_is_killed(
    home: Any, work: Any, shared: Any
) -> None:
    given: set[str] = set()
    numbers: Iterator[int] = count()

    async def client() -> None:
        headers = {"Authorization": f"Bearer {home.token}"}
        async with httpx.AsyncClient(base_url=home.public, headers=headers, timeout=60) as http:
            while True:
                number = next(numbers)
                name, params = (
                    f"user-{number}",
                    {"limit": str(number % 100 + 1)},
                )  # no two ask the same at once
                try:
                    answer = await http.get(
                        f"/v1/peers/{NAME}/tasks", params=params, headers={"X-Request-ID": name}
                    )
                except httpx.HTTPError:
                    return
                if answer.status_code == 200:
                    given.add(name)

    clients = [asyncio.create_task(client()) for _ in range(CLIENTS)]
    most = random.Random().randint(5, 60)
    while len(given) < most:
        assert not all(each.done() for each in clients), home.log.read_text()[-2000:]
        await asyncio.sleep(0.001)
    home.kill()
    await asyncio.gather(*clients)
    home.process.wait(60)
    home.start()
    async with home.database() as database:
        rows = await database.fetch(
            "SELECT request_id FROM federation_audit_log WHERE outcome = 'ok' AND direction = 'asked'"
        )
    assert given - {row["request_id"] for row in rows} == set()
