"""An MCP server over standard input and output that passes everything on to a gateway's ``/mcp``."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import httpx2
import mcp_types as types
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from mosaic_hookspecs.errors import Malformed, MosaicError, Unauthenticated, Unavailable

_PATIENCE = 30.0  # seconds for an answer: longer than a gateway waits for its sources
_Context = ServerRequestContext[Any, Any]
_Paging = types.PaginatedRequestParams | None


async def relay(url: str, token: str) -> None:
    """Serve until standard input ends. Raises a :class:`MosaicError` if the gateway does not let us in."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=_PATIENCE) as http:
        await _knock(http, url)
        async with (
            Client(streamable_http_client(f"{url}/mcp", http_client=http)) as gateway,
            stdio_server() as (incoming, outgoing),
        ):
            server = _server(gateway)
            await server.run(incoming, outgoing, server.create_initialization_options())


async def _knock(http: httpx2.AsyncClient, url: str) -> None:
    """Say what is wrong before the agent's client hides it."""
    try:
        # a notification: it is taken, and nothing comes of it
        answer = await http.post(
            f"{url}/mcp",
            json={"jsonrpc": "2.0", "method": "notifications/initialized"},
            headers={"Accept": "application/json, text/event-stream"},
        )
    except httpx2.InvalidURL:
        raise Malformed(f"{url!r} is no URL", remedy="give --url http://HOST:PORT") from None
    except httpx2.HTTPError as error:
        raise Unavailable(
            f"no gateway answers at {url} ({type(error).__name__})", remedy="start it, or give another --url"
        ) from None
    if answer.status_code == Unauthenticated.status:
        raise Unauthenticated(
            "the gateway does not know this API token", remedy="`mosaic token create` makes another"
        )
    if answer.is_error:
        raise MosaicError(
            f"{url}/mcp answers {answer.status_code}", remedy="add plugins.mcp to the gateway's config"
        )


def _server(gateway: Client) -> Server[Any]:
    async def list_tools(_context: _Context, _params: _Paging) -> types.ListToolsResult:
        return await gateway.list_tools()

    async def call_tool(_context: _Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        return await gateway.call_tool(params.name, params.arguments)

    async def list_resources(_context: _Context, _params: _Paging) -> types.ListResourcesResult:
        return await gateway.list_resources()

    async def read_resource(
        _context: _Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        return await gateway.read_resource(str(params.uri))

    return Server(
        "mosaic",
        version=version("mosaic-mcp"),
        instructions=gateway.instructions,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_read_resource=read_resource,
    )
