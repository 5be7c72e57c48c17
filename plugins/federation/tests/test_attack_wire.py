"""Odd requests on the wire of the listener: each answer of the application is on record, with its own trace."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from mosaic_federation.listener import peer_mount
from mosaic_gateway.http import listener_app, quick_first
from mosaic_gateway.serving import Endpoint, Limits, bind, serve
from mosaic_hookspecs.types import Listener

_LIST = "/federation/v1/tasks"
_ODD = (
    f"GET {_LIST} HTTP/1.1|traceparent: 00-{'1' * 32}-{'2' * 16}-01|X-Request-ID: first",
    f"GET {_LIST} HTTP/1.1",
    f"GET {_LIST} HTTP/1.1|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Key: eA==|Sec-WebSocket-Version: 13",
    f"GET {_LIST} HTTP/1.1|Connection: Upgrade, HTTP2-Settings|Upgrade: h2c|HTTP2-Settings: AAMAAABk",
    f"GET {_LIST}?limit=1 HTTP/1.1|Expect: 100-continue",
    f"HEAD {_LIST} HTTP/1.1",
    f"OPTIONS {_LIST} HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    f"DELETE {_LIST} HTTP/1.1",
    f"TRACE {_LIST} HTTP/1.1",
    f"PROPFIND {_LIST} HTTP/1.1",
    f"GET http://elsewhere{_LIST} HTTP/1.1",
    "GET /%66ederation/v1/tasks HTTP/1.1",
    f"GET {_LIST}/ HTTP/1.1",
    f"GET {_LIST}%00 HTTP/1.1",
    f"GET {_LIST}/../notes HTTP/1.1",
    "GET / HTTP/1.1",
    f"GET {_LIST} HTTP/1.1|Content-Length: 2||ab",
    f"POST {_LIST} HTTP/1.1|Transfer-Encoding: chunked||2|ab|0||",
)


async def test_every_answer_is_on_record_with_the_trace_of_its_own_request(world: Any) -> None:
    _, certificate = await world.enrolled()
    mounts = [peer_mount(world.host)]
    inner = quick_first(listener_app("federation", mounts, max_body_bytes=16_384), mounts)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["client_certificate"] = certificate  # as TLS would have it
        await inner(scope, receive, send)

    listener = Listener("federation", "127.0.0.1", 0)
    place, stop = bind(listener), asyncio.Event()
    port = place.getsockname()[1]
    serving = asyncio.create_task(serve([Endpoint(listener, app, place)], stop=stop, limits=Limits(drain=1)))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for each in _ODD:
        head, _, body = each.partition("||")
        lines = f"{head}|Host: work||{body}".replace("|", "\r\n")
        writer.write(lines.encode())
    writer.write_eof()
    async with asyncio.timeout(30):
        received = (await reader.read(-1)).replace(b"HTTP/1.1 100 \r\n\r\n", b"")
    writer.close()
    stop.set()
    await serving
    statuses = re.findall(rb"HTTP/1\.1 (\d{3}) ", received)
    assert len(statuses) == len(_ODD), received[-2000:]
    assert {*statuses} <= {b"200", b"404"}
    assert len(await world.audit()) == 1 + len(_ODD)
    traces = [row["trace_id"] for row in await world.pool.fetch("SELECT trace_id FROM federation_audit_log")]
    assert traces.count("1" * 32) == 1
    assert len({*traces}) == len(traces)
    answered = re.findall(rb"traceresponse: 00-(\w{32})", received, re.IGNORECASE)
    assert {each.decode() for each in answered} <= {*traces}
