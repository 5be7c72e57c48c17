"""What every listener gives: problems, request ids, limits. Seen on a listener that knows no users."""

from __future__ import annotations

import json
import logging

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quart import Blueprint, Quart, abort, g, request

from mosaic_gateway.http import listener_app
from mosaic_hookspecs import errors
from mosaic_hookspecs.errors import ConfigError, Fault, MosaicError, Unavailable
from mosaic_hookspecs.types import Mount

SECRET = "postgres://gw:hunter2@db/mosaic"
PROBLEM_KEYS = {"type", "title", "status", "detail", "instance", "remedy", "request_id", "trace_id", "errors"}


def blueprint() -> Blueprint:
    """Routes that fail on request, as a plugin's might."""
    routes = Blueprint("peers", __name__)
    raised: dict[str, Exception] = {}

    @routes.get("/raise")
    @routes.get("/raise/<token>")
    async def raise_it(token: str = "") -> str:
        raise raised["next"]

    @routes.post("/echo/<token>")
    async def echo(token: str) -> bytes:
        return await request.get_data()

    @routes.get("/id")
    async def request_id() -> str:
        return str(g.request_id)

    @routes.get("/teapot")
    async def teapot() -> str:
        abort(418)

    routes.raised = raised  # type: ignore[attr-defined]
    return routes


@pytest.fixture
def routes() -> Blueprint:
    return blueprint()


@pytest.fixture
def app(routes: Blueprint) -> Quart:
    return listener_app("federation", [Mount("federation", routes)], max_body_bytes=100)


def all_errors(root: type[MosaicError] = MosaicError) -> list[type[MosaicError]]:
    return [root, *(error for child in root.__subclasses__() for error in all_errors(child))]


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.code)
async def test_each_error_of_ours_becomes_a_problem_with_its_status_and_code(app, routes, kind) -> None:
    routes.raised["next"] = kind(
        "no such thing", remedy="try that", faults=[Fault("/a/0", "bad"), Fault("b", "x")]
    )
    traced = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    answer = await app.test_client().get("/raise", headers={"X-Request-ID": "r-1", **traced})
    assert answer.status_code == kind.status
    assert answer.content_type == "application/problem+json"
    assert await answer.get_json() == {
        "type": f"urn:mosaic:problem:{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": "no such thing",
        "instance": "urn:request:r-1",
        "remedy": "try that",
        "request_id": "r-1",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "errors": [{"pointer": "/a/0", "detail": "bad"}, {"where": "b", "detail": "x"}],
    }


async def test_503_says_when_to_come_back_and_401_how_to_log_in(app, routes) -> None:
    client = app.test_client()
    routes.raised["next"] = Unavailable("no database", retry_after=7)
    assert (await client.get("/raise")).headers["Retry-After"] == "7"
    routes.raised["next"] = errors.Unauthenticated("who?")
    assert (await client.get("/raise")).headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("GET", "/echo//x", 404, "not-found"),
        ("PUT", "/raise", 405, "method-not-allowed"),
        ("OPTIONS", "/raise", 405, "method-not-allowed"),
        ("GET", "/teapot", 418, "i-m-a-teapot"),
    ],
)
async def test_errors_of_the_framework_have_the_same_form(app, method, path, status, code) -> None:
    answer = await app.test_client().open(path, method=method)
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    problem = await answer.get_json()
    assert set(problem) == PROBLEM_KEYS
    assert problem["type"] == f"urn:mosaic:problem:{code}"


async def test_405_names_the_methods_that_are_allowed(app) -> None:
    answer = await app.test_client().put("/raise")
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize(
    "failure",
    [RuntimeError(SECRET), KeyError(SECRET), asyncpg.DataError(SECRET), asyncpg.SyntaxOrAccessError(SECRET)],
)
async def test_a_bug_is_a_500_that_tells_the_log_and_not_the_caller(app, routes, caplog, failure) -> None:
    routes.raised["next"] = failure
    with caplog.at_level(logging.ERROR, logger="mosaic.http"):
        answer = await app.test_client().get("/raise?q=private", headers={"X-Request-ID": "r-2"})
    text = (await answer.get_data()).decode()
    assert answer.status_code == 500
    assert json.loads(text)["type"] == "urn:mosaic:problem:internal-error"
    assert SECRET not in text
    assert "r-2" in text
    [record] = [record for record in caplog.records if record.name == "mosaic.http"]
    assert "r-2" in record.getMessage()
    assert SECRET in caplog.text


@pytest.mark.parametrize(
    "failure",
    [
        ConnectionRefusedError(SECRET),
        TimeoutError(SECRET),
        asyncpg.InterfaceError(SECRET),
        asyncpg.ConnectionDoesNotExistError(SECRET),
        asyncpg.CannotConnectNowError(SECRET),
        asyncpg.TooManyConnectionsError(SECRET),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_lost_database_is_a_503_without_its_address(app, routes, failure) -> None:
    routes.raised["next"] = failure
    answer = await app.test_client().get("/raise")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert SECRET not in (await answer.get_data()).decode()


async def test_the_token_in_a_path_reaches_neither_log_nor_problem(app, routes, caplog) -> None:
    routes.raised["next"] = RuntimeError("boom")
    answer = await app.test_client().get("/raise/mos_topsecret")
    assert answer.status_code == 500
    assert "topsecret" not in (await answer.get_data()).decode()
    assert "/raise/<token>" in caplog.text
    assert "topsecret" not in caplog.text


async def test_a_body_up_to_the_limit_is_taken_and_one_byte_more_is_413(app) -> None:
    client = app.test_client()
    assert await (await client.post("/echo/x", data=b"x" * 100)).get_data() == b"x" * 100
    answer = await client.post("/echo/x", data=b"x" * 101)
    assert answer.status_code == 413
    assert (await answer.get_json())["type"] == "urn:mosaic:problem:too-large"


async def test_a_body_in_pieces_is_put_together_and_counted(app) -> None:
    client = app.test_client()
    async with client.request("/echo/x", method="POST") as connection:
        for _ in range(10):
            await connection.send(b"0123456789")
        await connection.send_complete()
    assert await (await connection.as_response()).get_data() == b"0123456789" * 10

    async with client.request("/echo/x", method="POST") as connection:
        for _ in range(11):
            await connection.send(b"0123456789")
        await connection.send_complete()
    assert (await connection.as_response()).status_code == 413


@given(sent=st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True))
async def test_a_proper_request_id_is_kept(sent) -> None:
    app = listener_app("federation", [Mount("federation", blueprint())], max_body_bytes=1)
    answer = await app.test_client().get("/id", headers={"X-Request-ID": sent})
    assert answer.headers["X-Request-ID"] == sent
    assert (await answer.get_data()).decode() == sent


@pytest.mark.parametrize("sent", ["", "a" * 65, "a b", "a\tb", "ä", "a,b", "../x;"])
async def test_an_improper_request_id_is_replaced(app, sent) -> None:
    answer = await app.test_client().get("/id", headers={"X-Request-ID": sent})
    assert len(answer.headers["X-Request-ID"]) == 32
    assert answer.headers["X-Request-ID"] != sent


async def test_two_requests_have_two_ids(app) -> None:
    first, second = [await app.test_client().get("/id") for _ in range(2)]
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]


async def test_answers_are_not_sniffed_and_not_stored(app) -> None:
    for path in ("/id", "/nowhere"):
        answer = await app.test_client().get(path)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in answer.headers


async def test_a_listener_serves_its_own_mounts_only() -> None:
    other = Blueprint("other", __name__)

    @other.get("/other")
    async def view() -> str:
        return "leaked"

    mounts = [Mount("federation", blueprint()), Mount("public", other)]
    client = listener_app("federation", mounts, max_body_bytes=1).test_client()
    for path in ("/other", "/healthz", "/readyz", "/openapi.json", "/v1/me", "/v1/tasks"):
        assert (await client.get(path)).status_code == 404


def test_two_blueprints_of_one_name_are_refused() -> None:
    mounts = [Mount("federation", blueprint()), Mount("federation", blueprint())]
    with pytest.raises(ConfigError, match="peers"):
        listener_app("federation", mounts, max_body_bytes=1)


async def exchange(app: Quart, **parts: object) -> list[dict[str, object]]:
    """Send one request as a server would hand it over, and return what the application sent."""
    scope = {"type": "http", "method": "GET", "scheme": "http", "http_version": "1.1", "path": "/id"}
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await app({**scope, "query_string": b"", "headers": [], **parts}, receive, send)
    return sent


@pytest.mark.parametrize(
    "broken",
    [{"path": "http://["}, {"path": ""}, {"query_string": b"a=\xff"}, {"headers": [(b"a", b"b\n")]}],
    ids=str,
)
async def test_a_request_that_cannot_be_read_is_a_400_problem(app, broken) -> None:
    start, body = await exchange(app, **broken)
    assert start["status"] == 400
    assert json.loads(body["body"])["type"] == "urn:mosaic:problem:malformed-request"


@given(
    path=st.text(max_size=20) | st.text(max_size=20).map("/id".__add__),
    query=st.binary(max_size=20),
    name=st.sampled_from(
        [b"host", b"content-length", b"content-type", b"cookie", b"x-request-id", b"accept"]
    ),
    value=st.binary(max_size=20),
    method=st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "TRACE", "get", "X Y"]),
)
async def test_whatever_is_sent_is_answered_and_never_by_a_5xx(path, query, name, value, method) -> None:
    app = listener_app("federation", [Mount("federation", blueprint())], max_body_bytes=100)
    start, _ = await exchange(app, path=path, query_string=query, headers=[(name, value)], method=method)
    assert start["status"] < 500


async def test_a_websocket_is_closed_before_any_code_of_a_plugin_runs(routes) -> None:
    reached = []

    @routes.websocket("/socket")
    async def socket() -> None:
        reached.append(True)

    app = listener_app("federation", [Mount("federation", routes)], max_body_bytes=1)
    scope = {"type": "websocket", "path": "/socket", "headers": [], "query_string": b"", "scheme": "ws"}
    sent = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]
    assert not reached
