"""A worker for the tests of the supervisor: answers with its process id."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from mosaic_gateway.serving import Endpoint, Limits, inherited, run, serve, stop_event
from mosaic_hookspecs.types import Listener


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["path"].startswith("/slow/"):
        asked = Path(scope["path"].removeprefix("/slow"))
        asked.touch()  # it is under way, until whoever asked removes this
        while asked.exists():  # noqa: ASYNC110  # removed by another process
            await asyncio.sleep(0.02)
    body = str(os.getpid()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})


async def main() -> None:
    with stop_event() as stop:
        sockets = inherited(stop)
        endpoints = [Endpoint(Listener("public", "", 0), app, sock) for sock in sockets]
        await serve(endpoints, stop=stop, limits=Limits(drain=60))


run(main())
