"""What is answered ahead of Quart is answered as Quart does it."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from mosaic_federation.listener import peer_mount
from mosaic_gateway.http import listener_app, quick_first

PATHS = (
    "tasks",
    "tasks?limit=1&sort=-title",
    "tasks?limit=1&limit=2",
    "tasks?limit=0",
    "tasks?title=%C3%A9%FF",
    "tasks/search?q=title",
    "tasks/search",
    f"tasks/{uuid4()}",
    "tasks/" + "-" * 36,
    "notes",
    "nothing",
    "whoami/search",
    "TASKS",
    "tasks/",
    "tasks/search/x",
    "",
)


async def call(app: Any, path: str, certificate: bytes | None) -> tuple[int, dict[str, str], Any]:
    plain, _, query = path.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "https",
        "path": f"/federation/v1/{plain}", "raw_path": f"/federation/v1/{plain}".encode(), "root_path": "",
        "query_string": query.encode(), "headers": [(b"host", b"x"), (b"x-request-id", b"same")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "extensions": {},
        "state": {"client_certificate": certificate},
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, json.loads(body)


@pytest.mark.parametrize("shown", [True, False], ids=["certificate", "none"])
async def test_status_headers_and_body_are_the_same(world: Any, shown: bool) -> None:
    ada = await world.host.identity.user("ada")
    for n in range(3):
        await world.host.rows.create(ada, "tasks", json.dumps({"title": f"title {n}"}).encode())
    _, certificate = await world.enrolled(resources=("tasks",))
    mount = peer_mount(world.host)
    slow = listener_app("federation", [mount], max_body_bytes=65_536)
    quick = quick_first(slow, [mount])
    for path in PATHS:
        ways = [await call(app, path, certificate if shown else None) for app in (slow, quick)]
        for _, headers, body in ways:
            headers.pop("ratelimit", None)  # one request less is left
            headers.pop("traceresponse"), body.pop("trace_id", None)  # each has its own trace
        assert ways[0] == ways[1], path


async def test_the_frequent_ones_do_not_reach_quart(world: Any) -> None:
    _, certificate = await world.enrolled()

    async def nobody(*_: Any) -> None:
        raise AssertionError("Quart was asked")

    quick = quick_first(nobody, [peer_mount(world.host)])
    for path in ("tasks", "tasks/search?q=x", f"tasks/{uuid4()}", "nothing", "nothing/search"):
        status, _, _ = await call(quick, path, certificate)
        assert status in {200, 404}
    with pytest.raises(AssertionError):
        await call(quick, "whoami", certificate)


async def test_what_is_not_shared_is_answered_like_what_there_is_not(world: Any) -> None:
    """To the byte but for the name, ids and times: also the order of the headers."""
    _, certificate = await world.enrolled(resources=("tasks",))
    mount = peer_mount(world.host)
    quick = quick_first(listener_app("federation", [mount], max_body_bytes=65_536), [mount])
    for rest in (
        *(
            "",
            "?limit=0",
            "?no=1",
            "?cursor=x",
            "?title=%C3%A9",
            "?limit=1&limit=2",
            "/",
            "/a",
            f"/{uuid4()}",
        ),
        *("/" + "-" * 36, "/search", "/search?q=x", "/search?q=", "/search?q=x&mode=no", "/search/x"),
    ):
        hidden, absent = [await call(quick, name + rest, certificate) for name in ("notes", "nones")]
        assert list(hidden[1]) == list(absent[1]), rest
        for _, headers, body in (hidden, absent):
            headers.pop("ratelimit"), headers.pop("traceresponse"), body.pop("trace_id")
        assert json.dumps(hidden).replace("notes", "nones") == json.dumps(absent), rest
