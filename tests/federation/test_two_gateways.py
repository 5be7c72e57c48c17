"""The whole path between two gateways, as their admins and users walk it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from asked_again import ask_until

PRIVATE_KEY = b"PRIVATE KEY"


@pytest.fixture(scope="module")
def gateways(new_gateway: Any) -> tuple[Any, Any]:
    """Two of this file's own: it lists whatever is there."""
    home, work = new_gateway("home"), new_gateway("work", workers=2)
    home.start()
    work.start()
    return home, work


@pytest.fixture(scope="module")
def shared(gateways: Any) -> Iterator[dict[str, Any]]:
    """Work has three tasks and two notes, and shares all but one task and the notes; home has enrolled."""
    home, work = gateways
    tasks = [work.add("tasks", title=f"plant tree {number}") for number in range(3)]
    notes = [work.add("notes", title="private thought", body="…") for _ in range(2)]
    work.run("user", "add", "bob")
    offer = work.offer(
        *("--resource", "tasks", "--resource", "notes", "--personal", "--max-rows", "2"),
        *("--exclude", f"tasks/{tasks[2]}", "--exclude", "notes"),
    )
    added = home.json("federation", "peer", "add", offer["url"], "--yes")
    assert (added["name"], added["state"], added["grant_id"]) == ("work", "active", offer["id"])
    yield {"tasks": tasks, "notes": notes, "offer": offer}


def test_a_user_of_home_reads_works_rows_by_command_and_by_rest(home: Any, shared: Any) -> None:
    visible = set(shared["tasks"][:2])
    listed = home.json("federation", "list", "work", "tasks", "--sort", "-created_at", "--limit", "10")
    assert {row["id"] for row in listed} == visible
    row = home.json("federation", "get", "work", "tasks", shared["tasks"][0])
    assert row["title"] == "plant tree 0"
    with home.http() as client:
        assert {row["id"] for row in client.get("/v1/peers/work/tasks").json()["items"]} == visible
        assert client.get(f"/v1/peers/work/tasks/{shared['tasks'][1]}").json()["title"] == "plant tree 1"
        found = client.get("/v1/peers/work/tasks/search", params={"q": "tree"}).json()["items"]
        assert {row["id"] for row in found} == visible
        [peer] = client.get("/v1/peers").json()["items"]
        assert (peer["name"], peer["state"], peer["subject"]) == ("work", "active", "admin")


def test_rows_pass_unchanged(home: Any, work: Any, shared: Any) -> None:
    path = f"tasks/{shared['tasks'][0]}"
    with home.http() as at_home, work.http() as at_work:
        assert at_home.get(f"/v1/peers/work/{path}").content == at_work.get(f"/v1/{path}").content


def test_a_page_is_capped_and_goes_on_where_it_ended(home: Any, work: Any, shared: Any) -> None:
    extra = [work.add("tasks", title="later") for _ in range(3)]
    seen: list[str] = []
    with home.http() as client:
        params = {"limit": "200"}
        while True:
            page = client.get("/v1/peers/work/tasks", params=params).json()
            assert len(page["items"]) <= 2
            seen += [row["id"] for row in page["items"]]
            if page["next_cursor"] is None:
                break
            params["cursor"] = page["next_cursor"]
    assert sorted(seen) == sorted([*shared["tasks"][:2], *extra])
    with work.http() as client:
        for row_id in extra:
            client.delete(f"/v1/tasks/{row_id}")


def test_what_the_scope_hides_looks_absent_and_the_admin_of_work_is_told_why(
    home: Any, work: Any, shared: Any
) -> None:
    hidden = shared["tasks"][2]
    with home.http() as client:
        answers = [client.get(f"/v1/peers/work/tasks/{row_id}") for row_id in (hidden, uuid4())]
        lists = [client.get(f"/v1/peers/work/{name}") for name in ("notes", "nosuch")]
    assert [answer.status_code for answer in answers + lists] == [404] * 4
    assert answers[0].json()["detail"] == answers[1].json()["detail"]
    assert lists[0].json()["detail"] == lists[1].json()["detail"].replace("nosuch", "notes")
    explain = ("federation", "scope", "explain", shared["offer"]["id"])
    assert work.json(*explain, "tasks", hidden)["visible"] is False
    assert work.json(*explain, "notes", shared["notes"][0])["visible"] is False
    assert work.json(*explain, "tasks", shared["tasks"][0])["visible"] is True


def test_wrong_input_is_answered_as_works_own_api_would(home: Any, shared: Any) -> None:
    with home.http() as client:
        refused = client.get("/v1/peers/work/tasks", params={"nosuch": "x"})
        assert (refused.status_code, "nosuch" in refused.text) == (400, True)
        for path in ("/v1/peers/nosuch/tasks", "/v1/peers/work/..%2f..%2fwhoami", "/v1/peers/work/tasks/%00"):
            assert client.get(path).status_code == 404
    assert "nosuch" in home.run("federation", "list", "nosuch", "tasks", code=4)


def test_only_readers_see_the_peer(home: Any, shared: Any) -> None:
    home.run("user", "add", "eve")
    token = home.json("token", "create", "eve", "--name", "t")["token"]
    with home.http(token) as client:
        assert client.get("/v1/peers").json() == {"items": []}
        assert client.get("/v1/peers/work/tasks").status_code == 404
    with home.http("none") as client:
        assert client.get("/v1/peers/work/tasks").status_code == 401


def test_a_replayed_url_is_gone(home: Any, work: Any, shared: Any) -> None:
    text = home.run("federation", "peer", "add", shared["offer"]["url"], "--yes", "--name", "again", code=4)
    assert "used already" in text
    assert [peer["name"] for peer in home.json("federation", "peer", "list")] == ["work"]


def test_a_taken_name_does_not_burn_the_url(home: Any, work: Any, shared: Any) -> None:
    offer = work.offer()
    assert "already" in home.run("federation", "peer", "add", offer["url"], "--yes", code=4)
    home.run("federation", "peer", "add", offer["url"], "--yes", "--name", "second", "--readers", "everyone")
    home.run("user", "add", "reader")
    token = home.json("token", "create", "reader", "--name", "t2")["token"]
    with home.http(token) as client:
        assert [peer["name"] for peer in client.get("/v1/peers").json()["items"]] == ["second"]
        assert client.get("/v1/peers/second/tasks").status_code == 200
    home.run("federation", "peer", "remove", "second")
    assert "second" not in home.run("federation", "peer", "list")


def test_a_url_that_names_another_authority_is_refused_before_it_is_used(home: Any, work: Any) -> None:
    offer = work.offer()
    url, _, pin = offer["url"].rpartition("=")
    text = home.run("federation", "peer", "add", f"{url}={pin[::-1]}", "--yes", "--name", "x", code=5)
    assert "another certificate authority" in text
    assert work.json("federation", "grant", "show", offer["id"])["status"] == "pending"
    assert "https://" in home.run(
        "federation", "peer", "add", offer["url"].replace("127.0.0.1", "192.0.2.1"), "--yes", code=2
    )


def test_every_answer_is_in_works_log_under_the_request_id_of_home(home: Any, work: Any, shared: Any) -> None:
    with home.http() as client:
        client.get("/v1/peers/work/tasks", headers={"X-Request-ID": "trace-me-1"})
        client.get("/v1/peers/work/notes", headers={"X-Request-ID": "trace-me-2"})
    rows = {row["request_id"]: row for row in work.json("audit", "tail", "--limit", "50")}
    one, two = rows["trace-me-1"], rows["trace-me-2"]
    assert (one["peer"], one["verb"], one["outcome"], one["rows"]) == ("home", "list", "ok", 2)
    assert (two["outcome"], two["rows"]) == ("not-found", 0)
    assert one["grant_id"] == shared["offer"]["id"]
    assert all(report["broken_at"] is None for report in work.json("audit", "verify"))


async def test_keys_are_sealed_in_the_tables_and_in_the_files(home: Any, work: Any, shared: Any) -> None:
    for gateway, table in (
        (home, "federation_peers"),
        (work, "federation_server_identity"),
        (work, "embedded_ca_authority"),
    ):
        async with gateway.database() as database:
            for row in await database.fetch(f"SELECT * FROM {table}"):
                assert PRIVATE_KEY not in b"".join(v for v in row.values() if isinstance(v, bytes))
        files = [path for path in (gateway.directory / "data").rglob("*") if path.is_file()]
        assert files
        assert not [path for path in files if PRIVATE_KEY in path.read_bytes()]


def test_tokens_are_in_no_log(home: Any, work: Any, shared: Any) -> None:
    token = re.search(r"/enroll/([^#]+)#", shared["offer"]["url"])
    assert token is not None
    for gateway in (home, work):
        assert token[1] not in gateway.log.read_text()


def test_no_listener_has_the_others_routes(home: Any, work: Any, shared: Any) -> None:
    with work.http() as client:
        for path in ("/federation/v1/tasks", "/federation/v1/whoami"):
            assert client.get(path).status_code == 404
        assert client.get("/v1/tasks").status_code == 200


def test_a_peer_that_is_off_is_named_and_disturbs_nothing_else(home: Any, work: Any, shared: Any) -> None:
    work.stop()
    try:
        with home.http() as client:
            answer = client.get("/v1/peers/work/tasks", headers={"Cache-Control": "no-cache"})
            assert (answer.status_code, "'work'" in answer.json()["detail"]) == (503, True)
            assert "Retry-After" in answer.headers
            assert client.get("/v1/tasks").status_code == 200
        text = home.run("federation", "list", "work", "tasks", "--fresh", code=5)
        assert "nothing listens there" in text
    finally:
        work.start()
    assert home.json("federation", "peer", "test", "work")["state"] == "active"
    with home.http() as client:
        assert client.get("/v1/peers/work/tasks").status_code == 200


async def test_without_the_audit_table_no_row_leaves(home: Any, work: Any, shared: Any) -> None:
    async with work.database() as database:
        await database.execute("ALTER TABLE federation_audit_log RENAME TO elsewhere")
        try:
            with home.http() as client:
                answer = client.get("/v1/peers/work/tasks")
            assert (answer.status_code, "plant" in answer.text) == (503, False)
        finally:
            await database.execute("ALTER TABLE elsewhere RENAME TO federation_audit_log")
        with home.http() as client:
            assert client.get("/v1/peers/work/tasks").status_code == 200


def test_revoking_ends_it_with_a_reason(home: Any, work: Any, shared: Any) -> None:
    grant = shared["offer"]["id"]
    work.run("federation", "grant", "revoke", grant, "--reason", "the end")
    with home.http() as client:
        assert "the grant was revoked" in ask_until(client, "/v1/peers/work/tasks", 403).json()["detail"]
    assert "the grant was revoked" in home.run("federation", "list", "work", "tasks", code=4)
    shown = work.json("federation", "grant", "show", grant)
    assert (shown["status"], shown["reason"]) == ("revoked", "the end")
    assert work.json("audit", "tail", "--limit", "1")[0]["outcome"] == "forbidden"


async def test_an_edit_of_the_log_is_found_even_when_its_owner_made_it(work: Any, shared: Any) -> None:
    async with work.database() as database, database.transaction() as sql:
        await sql.execute("ALTER TABLE federation_audit_log DISABLE TRIGGER ALL")
        stream = await sql.fetchval("SELECT stream FROM federation_audit_log WHERE verb = 'list' LIMIT 1")
        seq = await sql.fetchval("SELECT min(seq) FROM federation_audit_log WHERE stream = $1", stream)
        await sql.execute(
            "UPDATE federation_audit_log SET peer = 'nobody' WHERE stream = $1 AND seq = $2", stream, seq
        )
        await sql.execute("ALTER TABLE federation_audit_log ENABLE TRIGGER ALL")
    reports, _ = json.JSONDecoder().raw_decode(work.run("audit", "verify", "--json", code=1))
    broken = {report["stream"]: report["broken_at"] for report in reports if report["problem"]}
    assert broken == {str(stream): seq}
