"""The generic routes over real rows: each verb, its headers, and each way it may be refused."""

from __future__ import annotations

import json

import pytest
from quart import Blueprint

from mosaic_gateway.http import public_app
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.types import Mount

ABSENT = "7f1d3c9e-6a4b-4e9c-9b53-0c2f8f2f7a10"


async def created(client, resource: str = "tasks", **fields):
    answer = await client.post(f"/v1/{resource}", json={"title": "Buy oats"} | fields)
    assert answer.status_code == 201, await answer.get_data()
    return await answer.get_json()


async def problem(answer, status: int, code: str):
    assert answer.status_code == status, await answer.get_data()
    assert answer.content_type == "application/problem+json"
    body = await answer.get_json()
    assert body["type"] == f"urn:mosaic:problem:{code}"
    assert body["status"] == status
    return body


async def test_create_answers_201_with_location_etag_and_the_row(ada) -> None:
    answer = await ada.post("/v1/tasks", json={"title": "Buy oats"})
    row = await answer.get_json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v1/tasks/{row['id']}"
    assert answer.headers["ETag"] == '"1"'
    assert answer.content_type == "application/json"
    assert (row["title"], row["owner_id"], row["version"]) == ("Buy oats", ada.user_id, 1)
    again = await ada.get(answer.headers["Location"])
    assert await again.get_json() == row


async def test_list_pages_through_every_row_once(ada) -> None:
    rows = [await created(ada, title=f"task {number}") for number in range(5)]
    seen, cursor = [], None
    while True:
        query = {"limit": "2", "sort": "title"} | ({"cursor": cursor} if cursor else {})
        page = await (await ada.get("/v1/tasks", query_string=query)).get_json()
        seen += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == rows


async def test_search_finds_a_word(ada) -> None:
    row = await created(ada, title="Buy oats")
    await created(ada, title="Call Grace")
    answer = await (await ada.get("/v1/tasks/search?q=oats")).get_json()
    assert [item["id"] for item in answer["items"]] == [row["id"]]
    assert answer["items"][0]["rank"] > 0


async def test_patch_changes_what_is_sent_and_raises_the_version(ada) -> None:
    row = await created(ada)
    answer = await ada.patch(f"/v1/tasks/{row['id']}", json={"title": "Buy rye"})
    assert answer.status_code == 200
    assert answer.headers["ETag"] == '"2"'
    changed = await answer.get_json()
    assert changed == row | {"title": "Buy rye", "version": 2, "updated_at": changed["updated_at"]}


async def test_delete_answers_204_and_the_row_is_gone(ada) -> None:
    row = await created(ada)
    answer = await ada.delete(f"/v1/tasks/{row['id']}")
    assert (answer.status_code, await answer.get_data()) == (204, b"")
    await problem(await ada.get(f"/v1/tasks/{row['id']}"), 404, "not-found")
    await problem(await ada.delete(f"/v1/tasks/{row['id']}"), 404, "not-found")


@pytest.mark.parametrize("sent", ['"1"', 'W/"1"', '"7", "1"', "*"])
async def test_if_none_match_of_the_stored_version_is_304_without_a_body(ada, sent) -> None:
    row = await created(ada)
    answer = await ada.get(f"/v1/tasks/{row['id']}", headers={"If-None-Match": sent})
    assert (answer.status_code, await answer.get_data()) == (304, b"")
    assert answer.headers["ETag"] == '"1"'


async def test_an_answer_without_a_body_has_no_content_type(ada) -> None:
    path = f"/v1/tasks/{(await created(ada))['id']}"
    for method, status, more in (("GET", 304, {"If-None-Match": "*"}), ("DELETE", 204, {})):
        headers = {"Authorization": f"Bearer {ada.token}"} | more
        # the raw connection: the test client's own response class would add the header again
        async with ada.raw.request(path, method=method, headers=headers) as connection:
            await connection.send_complete()
        assert connection.status_code == status
        assert "Content-Type" not in connection.headers
        assert "X-Request-ID" in connection.headers


async def test_head_tells_the_headers_of_get(ada) -> None:
    row = await created(ada)
    answer = await ada.head(f"/v1/tasks/{row['id']}")
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"1"')


@pytest.mark.parametrize("sent", ['"2"', '"11"', "nonsense"])
async def test_if_none_match_of_another_version_gives_the_row(ada, sent) -> None:
    row = await created(ada)
    answer = await ada.get(f"/v1/tasks/{row['id']}", headers={"If-None-Match": sent})
    assert await answer.get_json() == row


async def test_if_match_lets_the_first_writer_win_and_tells_the_second(ada) -> None:
    path = f"/v1/tasks/{(await created(ada))['id']}"
    first = await ada.patch(path, json={"title": "first"}, headers={"If-Match": '"1"'})
    assert first.status_code == 200
    second = await ada.patch(path, json={"title": "second"}, headers={"If-Match": '"1"'})
    await problem(second, 412, "precondition-failed")
    await problem(await ada.delete(path, headers={"If-Match": '"1"'}), 412, "precondition-failed")
    assert (await (await ada.get(path)).get_json())["title"] == "first"
    assert (await ada.delete(path, headers={"If-Match": '"2"'})).status_code == 204


async def test_if_match_star_takes_any_version(ada) -> None:
    path = f"/v1/tasks/{(await created(ada))['id']}"
    assert (await ada.patch(path, json={"title": "x"}, headers={"If-Match": "*"})).status_code == 200
    assert (await ada.delete(path, headers={"If-Match": "*"})).status_code == 204


@pytest.mark.parametrize("sent", ['W/"1"', '"abc"', '"01"', '"-1"', '"99999999999999999999"', '""'])
async def test_if_match_with_a_tag_no_row_has_is_412_and_changes_nothing(ada, sent) -> None:
    row = await created(ada)
    path = f"/v1/tasks/{row['id']}"
    await problem(
        await ada.patch(path, json={"title": "x"}, headers={"If-Match": sent}), 412, "precondition-failed"
    )
    await problem(await ada.delete(path, headers={"If-Match": sent}), 412, "precondition-failed")
    assert await (await ada.get(path)).get_json() == row


@pytest.mark.parametrize("sent", ["", "1", '"1', '1"', '"1" "2"', '"1", "2"', "'1'", 'w/"1"'])
async def test_if_match_that_is_not_one_tag_is_400(ada, sent) -> None:
    path = f"/v1/tasks/{(await created(ada))['id']}"
    body = await problem(await ada.delete(path, headers={"If-Match": sent}), 400, "malformed-request")
    assert body["errors"][0]["where"] == "If-Match"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nul",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b'{"title": "a"} x',
        b'{"title": "a", "title": "b"',
        b"[" * 5000,
    ],
)
async def test_a_body_that_is_not_a_json_object_is_refused(ada, body) -> None:
    row = await created(ada)
    headers = {"Content-Type": "application/json"}
    for answer in (
        await ada.post("/v1/tasks", data=body, headers=headers),
        await ada.patch(f"/v1/tasks/{row['id']}", data=body, headers=headers),
    ):
        assert answer.status_code in (400, 422)
        assert answer.content_type == "application/problem+json"
    assert len((await (await ada.get("/v1/tasks")).get_json())["items"]) == 1


async def test_every_wrong_value_is_named_at_once(ada) -> None:
    body = await problem(await ada.post("/v1/tasks", json={"title": 7, "nonsense": 1}), 422, "invalid")
    assert {error["pointer"] for error in body["errors"]} == {"/title", "/nonsense"}


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
async def test_another_content_type_is_415(ada, kind) -> None:
    row = await created(ada)
    for answer in (
        await ada.post("/v1/tasks", data=b"{}", headers={"Content-Type": kind}),
        await ada.patch(f"/v1/tasks/{row['id']}", data=b"{}", headers={"Content-Type": kind}),
    ):
        await problem(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/merge-patch+json"])
async def test_json_by_another_name_is_taken(ada, kind) -> None:
    path = f"/v1/tasks/{(await created(ada))['id']}"
    answer = await ada.patch(path, data=json.dumps({"title": "x"}), headers={"Content-Type": kind})
    assert answer.status_code == 200


async def test_a_body_over_the_limit_is_413_and_nothing_is_stored(ada) -> None:
    answer = await ada.post("/v1/notes", json={"title": "n", "body": "x" * 10_001})
    await problem(answer, 413, "too-large")
    assert (await (await ada.get("/v1/notes")).get_json())["items"] == []


async def test_a_parameter_given_twice_is_400_and_named(ada) -> None:
    body = await problem(await ada.get("/v1/tasks?limit=1&limit=2"), 400, "malformed-request")
    assert [error["where"] for error in body["errors"]] == ["limit"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "nonsense=1",
        "sort=nonsense",
        "cursor=tampered",
        "title.gte.x=1",
        "%FF=1",
        "limit=%FF",
        "title=%00",
    ],
)
async def test_a_bad_parameter_is_400(ada, query) -> None:
    await created(ada)
    await problem(await ada.get(f"/v1/tasks?{query}"), 400, "malformed-request")


async def test_a_cursor_of_another_resource_or_with_a_changed_letter_is_400(ada) -> None:
    for number in range(3):
        await created(ada, title=str(number))
    cursor = (await (await ada.get("/v1/tasks?limit=1")).get_json())["next_cursor"]
    for resource, changed in (("notes", cursor), ("tasks", ("A" if cursor[0] != "A" else "B") + cursor[1:])):
        answer = await ada.get(f"/v1/{resource}", query_string={"limit": "1", "cursor": changed})
        await problem(answer, 400, "malformed-request")


@pytest.mark.parametrize("path", ["/v1/nonsense", "/v1/nonsense/search?q=x", f"/v1/nonsense/{ABSENT}"])
async def test_an_unknown_resource_is_404_and_named(ada, path) -> None:
    body = await problem(await ada.get(path), 404, "not-found")
    assert "nonsense" in body["detail"]


@pytest.mark.parametrize("row_id", [ABSENT, "1", "x" * 300, "%00", "%C3%A4", "%F0%9F%8C%BE", "7f1d3c9e"])
async def test_what_is_not_an_id_of_mine_looks_the_same_as_what_is_absent(ada, bob, row_id) -> None:
    """Another user's row, an unknown id and no id at all: one status, one body but for the request id."""
    theirs = (await created(bob))["id"]
    for call in (
        ada.get,
        lambda path: ada.patch(path, json={"title": "x"}),
        ada.delete,
    ):
        hidden, absent = [await call(f"/v1/tasks/{one}") for one in (theirs, row_id)]
        assert hidden.status_code == absent.status_code == 404
        bodies = [await answer.get_json() for answer in (hidden, absent)]
        for body in bodies:
            assert body.pop("instance") == f"urn:request:{body.pop('request_id')}"
            assert body.pop("trace_id")
        assert bodies[0] == bodies[1]
        varying = {"X-Request-Id", "Traceresponse", "Content-Length"}
        headers = [
            {k: v for k, v in answer.headers.items() if k.title() not in varying}
            for answer in (hidden, absent)
        ]
        assert headers[0] == headers[1]
    assert (await bob.get(f"/v1/tasks/{theirs}")).status_code == 200


async def test_an_external_id_taken_is_409(ada) -> None:
    await created(ada, external_id="x-1")
    answer = await ada.post("/v1/tasks", json={"title": "again", "external_id": "x-1"})
    await problem(answer, 409, "conflict")


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/v1/tasks"), ("DELETE", "/v1/tasks"), ("PATCH", "/v1/tasks/search"), ("POST", "/v1/me")],
)
async def test_a_wrong_method_is_405_with_allow(ada, method, path) -> None:
    answer = await ada.open(path, method=method)
    await problem(answer, 405, "method-not-allowed")
    assert "GET" in answer.headers["Allow"]


async def test_a_trailing_slash_is_another_path(ada) -> None:
    await problem(await ada.get("/v1/tasks/"), 404, "not-found")


async def test_a_mount_wins_over_the_generic_routes_and_keeps_its_405(services, ada) -> None:
    peers = Blueprint("peers", __name__, url_prefix="/v1/peers")

    @peers.get("")
    @peers.get("/<name>/tasks")
    async def view(name: str = "") -> dict[str, str]:
        return {"peer": name}

    services.mounts = [Mount("public", peers)]
    ada.raw = public_app(services).test_client()
    assert await (await ada.get("/v1/peers")).get_json() == {"peer": ""}
    assert await (await ada.get("/v1/peers/acme/tasks")).get_json() == {"peer": "acme"}
    await problem(await ada.post("/v1/peers", json={}), 405, "method-not-allowed")
    await problem(await ada.get("/v1/peers/acme"), 404, "not-found")
    assert (await ada.get("/v1/tasks")).status_code == 200


async def test_a_resource_called_like_a_route_stops_the_boot(services) -> None:
    tasks = Blueprint("mine", __name__)

    @tasks.get("/v1/tasks/mine")
    async def view() -> str:
        return ""

    services.mounts = [Mount("public", tasks)]
    with pytest.raises(ConfigError, match="tasks"):
        public_app(services)
