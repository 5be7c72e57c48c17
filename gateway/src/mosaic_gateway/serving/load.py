"""Refusing work before the process falls over: 503 in microseconds is kinder than an answer in a minute."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from mosaic_gateway.serving.limits import Limits
from mosaic_hookspecs.errors import Unavailable

_PAUSE = 0.1  # seconds between two looks at the clock
_FEW = 16  # requests under way: with no more than these, it is not they who hold the event loop up
_SOONEST, _LATEST = 1, 3  # seconds for Retry-After: not all clients come back at the same instant

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_BUSY = json.dumps(
    {
        "type": f"urn:mosaic:problem:{Unavailable.code}",
        "title": Unavailable.title,
        "status": Unavailable.status,
        "detail": "More requests are under way than this gateway can answer in time.",
        "remedy": "try again after the seconds in the Retry-After header",
        "errors": [],
    }
).encode()


class Lag:
    """How late the event loop comes to its work, seconds; one for the process."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def watch(self) -> None:
        """Measure, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _PAUSE
            await asyncio.sleep(_PAUSE)
            self.seconds = loop.time() - due


class Load:
    """The requests under way on one listener."""

    def __init__(self, limits: Limits, lag: Lag) -> None:
        self.under_way = 0
        self._limits = limits
        self._lag = lag

    @property
    def full(self) -> bool:
        """Whether one more request is to be refused."""
        if self.under_way >= self._limits.max_requests:
            return True
        return self.under_way >= _FEW and self._lag.seconds > self._limits.max_lag


class Shedding:
    """An ASGI application that answers 503 in place of ``app`` while the listener is full.

    Paths in ``spared`` are answered all the same: whoever asks whether the process lives would else restart it.
    """

    def __init__(self, app: Any, load: Load, spared: Collection[str] = ()) -> None:
        self._app = app
        self._load = load
        self._spared = spared

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One request."""
        if self._load.full and scope["type"] == "http" and scope["path"] not in self._spared:
            await _refuse(send)
            return
        self._load.under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._load.under_way -= 1


async def _refuse(send: Send) -> None:
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(_BUSY)),
        (b"retry-after", b"%d" % random.randint(_SOONEST, _LATEST)),  # noqa: S311  # no secret
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": _BUSY})
