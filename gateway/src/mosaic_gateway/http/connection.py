"""Quart's ASGI connections with less work per request, and without websockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from quart import Quart, Request
from quart.asgi import ASGIHTTPConnection
from quart.utils import encode_headers
from quart.wrappers.response import DataBody, Response

UNREADABLE = " "  # stands for the path of a request that cannot be read; no request has it

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class HTTPConnection(ASGIHTTPConnection):
    """A request that has arrived whole runs in the server's own task, and leaves in one message.

    Quart starts three tasks per request. They serve to go on reading a body, which is still left to Quart
    when there is more to read, and to stop when the client leaves: here what was read whole is answered.
    """

    async def __call__(self, receive: Receive, send: Send) -> None:  # noqa: D102
        first = await receive()
        if first["type"] != "http.request":
            return
        if first.get("more_body", False):
            await super().__call__(_again(first, receive), send)
            return
        request = self._create_request_from_scope(send)
        request.body.set_result(first.get("body", b""))
        await self.handle_request(request, send)

    def _create_request_from_scope(self, send: Send) -> Request:  # noqa: ARG002  # see _push_nothing
        try:
            self.scope["query_string"].decode(
                "ascii"
            )  # RFC 3986; werkzeug would decode it as UTF-8, too late
            return super()._create_request_from_scope(_push_nothing)
        except (ValueError, IndexError):  # such as the target http://[ : Quart would give no answer at all
            self.scope = {**self.scope, "path": UNREADABLE, "query_string": b"", "headers": []}
            return super()._create_request_from_scope(_push_nothing)

    async def handle_request(self, request: Request, send: Send) -> None:
        """Answer, giving the client ``RESPONSE_TIMEOUT`` seconds to take it."""
        response = await self.app.handle_request(request)
        request.routing_exception = None  # its trace holds the request: neither would go by itself
        try:
            async with asyncio.timeout(self.app.config["RESPONSE_TIMEOUT"]):
                await self._send_response(send, response)
        except TimeoutError:
            pass  # as Quart does: the server closes the unfinished answer

    async def _send_response(self, send: Send, response: Any) -> None:
        if not isinstance(response, Response) or not isinstance(response.response, DataBody):
            await super()._send_response(send, response)
            return
        start = {"status": response.status_code, "headers": encode_headers(response.headers)}
        await send({"type": "http.response.start", **start})
        await send({"type": "http.response.body", "body": response.response.data, "more_body": False})


async def _push_nothing(_: Any) -> None:
    """In place of ``send``, which browsers have no use for here: a request that an error keeps keeps no connection."""


def _again(first: Any, receive: Receive) -> Receive:
    """Return ``receive`` as if ``first`` had not been taken from it yet."""

    async def messages() -> AsyncIterator[Any]:
        yield first
        while True:
            yield await receive()

    return messages().__anext__


class NoWebsocket:
    """Refuse every websocket: the guards of this package stand on HTTP requests only."""

    def __init__(self, app: Quart, scope: Any) -> None:
        pass

    async def __call__(self, receive: Receive, send: Send) -> None:  # noqa: D102
        await receive()
        await send({"type": "websocket.close", "code": 1008})
