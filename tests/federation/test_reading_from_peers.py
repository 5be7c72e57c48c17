"""Home reads beside its own rows what work shares, goes on while work is away, and stops where work says stop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from asked_again import ask_until


@pytest.fixture(scope="module")
def shelf(gateways: Any) -> Iterator[dict[str, Any]]:
    """Work shares three tasks as peer ``shelf``; home has two of its own."""
    home, work = gateways
    theirs = [work.add("tasks", title=f"shelf book {number}") for number in range(3)]
    ours = [home.add("tasks", title=f"shelf board {number}") for number in range(2)]
    offer = work.offer()
    home.run("federation", "peer", "add", offer["url"], "--yes", "--name", "shelf")
    yield {"theirs": theirs, "ours": ours, "grant": offer["id"]}
    home.run("federation", "peer", "remove", "shelf")
    for gateway, ids in ((work, theirs), (home, ours)):
        with gateway.http() as client:
            for row_id in ids:
                client.delete(f"/v1/tasks/{row_id}")


def listed(home: Any, **params: Any) -> Any:
    with home.http() as client:
        answer = client.get("/v1/tasks", params={"sources": "local,peer:shelf", "timeout": "10"} | params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def statuses(answer: Any) -> dict[str, str]:
    return {each["name"]: each["status"] for each in answer["sources"]}


def test_one_list_holds_the_rows_of_both_and_every_page_goes_on(home: Any, shelf: Any) -> None:
    everything = listed(home, limit=200)
    shown = {row["id"]: row["source"] for row in everything["items"]}
    assert dict.fromkeys(shelf["ours"], "local").items() <= shown.items()
    assert dict.fromkeys(shelf["theirs"], "peer:shelf").items() <= shown.items()
    assert statuses(everything) == {"local": "ok", "peer:shelf": "ok"}
    times = [row["created_at"] for row in everything["items"]]
    assert times == sorted(times, reverse=True)
    paged: list[str] = []
    page = listed(home, limit=2)
    while page["next_cursor"] is not None:
        paged += [row["id"] for row in page["items"]]
        page = listed(home, limit=2, cursor=page["next_cursor"])
    assert paged + [row["id"] for row in page["items"]] == list(shown)


def test_a_cursor_is_one_users_and_one_querys(home: Any, shelf: Any) -> None:
    cursor = listed(home, limit=1)["next_cursor"]
    with home.http() as client:
        for params in ({"sources": "local"}, {"sources": "local,peer:shelf", "sort": "title"}):
            answer = client.get("/v1/tasks", params={"cursor": cursor} | params)
            assert answer.status_code == 400, answer.text


def test_a_search_over_both_by_rest_and_from_a_terminal(home: Any, shelf: Any) -> None:
    with home.http() as client:
        params = {"q": "shelf", "sources": "local,peer:shelf", "timeout": "10"}
        found = client.get("/v1/search", params=params).json()
        assert {row["id"] for row in found["items"]} >= {*shelf["ours"], *shelf["theirs"]}
        assert [row["source"] for row in found["items"][:2]] == ["local", "peer:shelf"]
        assert client.get("/v1/search", params={"q": "shelf"}).json()["sources"][0]["name"] == "local"
        assert len(client.get("/v1/tasks/search", params=params).json()["items"]) == 5
    command = ("search", "shelf", "--user", "admin", "--sources", "local,peer:shelf", "--timeout", "20")
    told = json.loads(home.run(*command, "--json"))
    assert {row["id"] for row in told["items"]} == {row["id"] for row in found["items"]}
    assert "peer:shelf" in home.run(*command)


def test_while_work_is_away_its_rows_are_shown_as_old_and_ours_as_ever(
    home: Any, work: Any, shelf: Any
) -> None:
    before = listed(home)
    with home.http() as client:
        fresh = client.get("/v1/peers/shelf/tasks")
    assert (fresh.headers["X-Mosaic-Source"], "Age" in fresh.headers) == ("peer", False)
    work.stop()
    try:
        away = listed(home)
        assert [row["id"] for row in away["items"]] == [row["id"] for row in before["items"]], away["sources"]
        assert statuses(away) == {"local": "ok", "peer:shelf": "stale"}
        [told] = [each for each in away["sources"] if each["name"] == "peer:shelf"]
        assert told["age_s"] > 0
        assert "nothing listens there" in told["detail"]
        with home.http() as client:
            old = client.get("/v1/peers/shelf/tasks")
            assert (old.content, old.headers["X-Mosaic-Source"].split(";")[0]) == (fresh.content, "stale")
            assert int(old.headers["Age"]) >= 0
            no_old = client.get(
                "/v1/tasks", params={"sources": "local,peer:shelf"}, headers={"Cache-Control": "no-cache"}
            ).json()
        assert statuses(no_old) == {"local": "ok", "peer:shelf": "unavailable"}
        assert {row["source"] for row in no_old["items"]} == {"local"}
        command = ("search", "board", "--user", "admin", "--sources", "local,peer:shelf", "--timeout", "20")
        assert "shelf board" in home.run(*command, code=1)
        text = home.run("federation", "list", "shelf", "tasks", code=1)
        assert ("shelf book" in text, "as it was" in text) == (True, True)
    finally:
        work.start()
    home.run("federation", "peer", "test", "shelf")
    assert statuses(listed(home)) == {"local": "ok", "peer:shelf": "ok"}


async def test_where_work_refuses_nothing_of_before_is_shown(home: Any, work: Any, shelf: Any) -> None:
    work.run("federation", "grant", "revoke", shelf["grant"], "--reason", "test")
    with home.http() as client:
        ask_until(client, "/v1/peers/shelf/tasks", 403)
    refused = listed(home)
    assert statuses(refused) == {"local": "ok", "peer:shelf": "refused"}
    assert {row["source"] for row in refused["items"]} == {"local"}
    async with home.database() as database:
        kept = await database.fetchval(
            "SELECT count(*) FROM federation_peer_answers a JOIN federation_peers p ON p.id = a.peer_id "
            "WHERE p.name = 'shelf'"
        )
    assert kept == 0
