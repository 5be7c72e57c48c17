"""``POST /mcp`` of the public listener: streamable HTTP (MCP 2025-03-26 and later), stateless, one JSON answer each.

The gateway's guard has checked the API token by then. The SDK speaks ASGI and Quart mounts none: a request is handed
over as a scope with its whole body, which the listener bounds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from quart import Blueprint, Response, g, request

from mosaic_hookspecs.errors import Forbidden, TooLarge
from mosaic_hookspecs.types import Mount
from mosaic_mcp.reading import Caller
from mosaic_mcp.server import CALLER, make_server

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

    from mosaic_hookspecs.protocols import Host

MOST_BYTES = 256 * 1024  # of a request; the largest tool call is far below
_OPENAPI = {
    "paths": {
        "/mcp": {
            "post": {
                "operationId": "mcp",
                "summary": "One message of the Model Context Protocol (streamable HTTP, stateless).",
                "tags": ["agents"],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"type": "object"}}},
                },
                "responses": {
                    "200": {
                        "description": "Its answer, JSON-RPC 2.0.",
                        "content": {"application/json": {"schema": {"type": "object"}}},
                    },
                    "202": {"description": "A notification, taken."},
                    "400": {"description": "Not a message of the protocol."},
                },
            }
        }
    }
}
Message = MutableMapping[str, Any]


def mount(host: Host) -> Mount:
    """Return the route. Imports the SDK."""
    logging.getLogger("mcp").setLevel(logging.WARNING)  # it tells of each request, twice
    server = make_server(host, version("mosaic-mcp"))
    blueprint = Blueprint("mcp", __name__)
    ours = _origin(host.public_url)

    @blueprint.post("/mcp")
    async def mcp() -> Response:
        if (origin := request.headers.get("Origin")) not in (
            None,
            ours,
        ):  # as the protocol asks: DNS rebinding
            raise Forbidden(f"A page of {origin:.100} may not speak to this gateway.")
        if (request.content_length or 0) > MOST_BYTES:  # before it is read; without a length the SDK counts
            raise TooLarge(f"A message has at most {MOST_BYTES:,} bytes.", remedy="ask for less at once")
        return await _answer(server, Caller(g.viewer, g.request_id))

    return Mount("public", blueprint, openapi=_OPENAPI)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


async def _answer(server: Server[Any], caller: Caller) -> Response:
    """Hand the request over, and collect what is sent."""
    body, sent = await request.get_data(), list[Message]()
    unread = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not unread:
            await (
                asyncio.Event().wait()
            )  # it waits for the client to go: then this whole request is cancelled
        return unread.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    # A manager of its own: the tasks it starts end with the request, and nothing outlives it.
    manager = StreamableHTTPSessionManager(
        server, json_response=True, stateless=True, max_request_body_size=MOST_BYTES
    )
    async with manager.run():
        await manager.handle_request({**request.scope, "state": {CALLER: caller}}, receive, send)
    head, *rest = sent
    response = Response(b"".join(each.get("body", b"") for each in rest), head["status"])
    for name, value in head["headers"]:
        if name.lower() != b"content-length":  # Quart counts
            response.headers[name.decode("latin-1")] = value.decode("latin-1")
    return response
