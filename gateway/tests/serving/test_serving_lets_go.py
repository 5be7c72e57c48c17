"""What ended is gone at once: TLS takes 256 KiB a connection, too much to wait until garbage is looked for."""

from __future__ import annotations

import asyncio
import gc
import ssl
import weakref
from typing import Any

import httptools
import httpx
import pytest
from quart import Quart, Request, request

from mosaic_gateway.http import listener_app


@pytest.fixture
def app() -> Quart:
    made = listener_app("public", [], max_body_bytes=100_000)

    @made.post("/length")
    async def length() -> str:
        return str(len(await request.get_data()))

    return made


@pytest.mark.parametrize("http2", [False, True], ids=["1.1", "2"])
@pytest.mark.parametrize(
    ("method", "path", "size", "status"),
    [
        ("POST", "/length", 10, 200),
        ("POST", "/length", 90_000, 200),
        ("POST", "/length", 200_000, 413),
        ("GET", "/nothing/here", 0, 404),
        ("GET", "/length", 0, 405),
    ],
)
async def test_a_connection_is_gone_when_it_has_ended(
    served, app, mutual_tls, authority, client_context, no_search, http2, method, path, size, status
) -> None:
    context = client_context(authority.issue("peer"))
    async with served(app, mutual_tls) as server:
        for _ in range(3):
            async with httpx.AsyncClient(verify=context, http1=not http2, http2=http2) as client:
                url = f"https://127.0.0.1:{server.port}{path}"
                assert (await client.request(method, url, content=bytes(size))).status_code == status
                assert _connections(), "what is looked for below is found"
        async with asyncio.timeout(10):
            while _connections():  # noqa: ASYNC110  # nobody says when the last one has ended
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("fast", [True])  # h11's errors hold themselves, and with them whatever saw them pass
async def test_who_says_no_http_leaves_no_connection_behind(
    served, app, mutual_tls, authority, client_context, no_search
) -> None:
    context = client_context(authority.issue("peer"))
    async with served(app, mutual_tls) as server:
        for garbage in (b"", b"garbage\r\n\r\n", b"POST /length HTTP/1.1\r\nHost: x\r\n"):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
            writer.write(garbage)
            writer.close()
        async with asyncio.timeout(10):
            while _connections():  # noqa: ASYNC110  # nobody says when the last one has ended
                await asyncio.sleep(0.02)


async def test_who_says_nothing_is_sent_away_and_gone(
    served, app, mutual_tls, authority, client_context, no_search
) -> None:
    context = client_context(authority.issue("peer"))
    async with served(app, mutual_tls, read_timeout=0.2) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        async with asyncio.timeout(10):
            assert not await reader.read()
            writer.close()
            while _connections():  # noqa: ASYNC110  # nobody says when the last one has ended
                await asyncio.sleep(0.02)


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/nothing/here", 404), ("/length", 405)])
async def test_a_request_is_gone_when_it_is_answered(served, app, no_search, path, status) -> None:
    seen: list[weakref.ref[Request]] = []

    @app.get("/")
    async def hello() -> str:
        return "hello"

    @app.before_request
    async def see() -> None:
        seen.append(weakref.ref(request._get_current_object()))

    async with served(app) as server, httpx.AsyncClient() as client:
        for _ in range(3):  # over one connection, which lives on
            assert (await client.get(f"http://127.0.0.1:{server.port}{path}")).status_code == status
        async with asyncio.timeout(10):
            while any(each() for each in seen[:-1]):  # noqa: ASYNC110  # nobody says when they have ended
                await asyncio.sleep(0.02)
    assert len(seen) == 3


def _connections() -> list[Any]:
    """What the server's ends over TLS have that is not gone: what OpenSSL keeps, and the parser of HTTP/1.1."""
    return [
        each
        for each in gc.get_objects()
        if (isinstance(each, ssl.SSLObject) and each.server_side)
        or isinstance(each, httptools.HttpRequestParser)
    ]
