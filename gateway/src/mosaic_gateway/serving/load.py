"""Refusing work before the process falls over: 503 in microseconds is kinder than an answer in a minute."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from mosaic_gateway.serving.limits import Limits
from mosaic_gateway.serving.metrics import Tally
from mosaic_hookspecs.errors import Unavailable

log = logging.getLogger("mosaic.serving")

_PAUSE = 0.1  # seconds between two looks at the clock
_FEW = 16  # requests under way: with no more than these, it is not they who hold the event loop up
_SOONEST, _LATEST = 1, 3  # seconds for Retry-After: not all clients come back at the same instant

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_LARGE = 64 * 1024  # bytes of an answer; smaller ones wait for nobody
_PACE = 32 * 1024  # bytes a second; who takes an answer more slowly loses it
_STREAM = 16 * 1024  # bytes of memory, about, that an h2 request takes while it waits for its client
_SHARE = 4  # of the bytes that wait for clients to take them, one certificate's may be the part 1 / this


def _problem(detail: str) -> bytes:
    return json.dumps(
        {
            "type": f"urn:mosaic:problem:{Unavailable.code}",
            "title": Unavailable.title,
            "status": Unavailable.status,
            "detail": detail,
            "remedy": "try again after the seconds in the Retry-After header",
            "errors": [],
        }
    ).encode()


_BUSY = _problem("More requests are under way than this gateway can answer in time.")
_UNREAD = _problem("More answers wait to be read by their clients than this gateway can hold.")


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


class Unsent:
    """Bytes of large answers that clients have not taken yet; one for the process.

    Whether an answer will be large is not known before it is there, and then it is on record: what is refused is
    the next request, first of the certificates that hold the most.
    """

    def __init__(self, most: int) -> None:
        self.bytes = 0
        self._most = most
        self._of: Counter[bytes] = Counter()  # by certificate

    def full_for(self, certificate: bytes | None) -> bool:
        """Whether a request of this client, None for one without a certificate, is to be refused."""
        return self.bytes >= self._most or (
            certificate is not None and self._of[certificate] * _SHARE >= self._most
        )

    @contextmanager
    def holding(self, certificate: bytes | None, size: int) -> Iterator[None]:
        """Count ``size`` bytes for as long as they are on their way."""
        self._add(certificate, size)
        try:
            yield
        finally:
            self._add(certificate, -size)

    def _add(self, certificate: bytes | None, size: int) -> None:
        self.bytes += size
        if certificate is not None:
            self._of[certificate] += size
            if not self._of[certificate]:
                del self._of[certificate]


class _Untaken(Exception):  # not an error: news for whoever began the answer
    """A client took too little of its answer."""


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

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A request that waits for its client keeps no other from being answered."""
        self.under_way -= 1
        try:
            yield
        finally:
            self.under_way += 1

    def time_for(self, size: int) -> float:
        """Seconds that a client may take for so many bytes of an answer."""
        return self._limits.read_timeout + size / _PACE


class Shedding:
    """An ASGI application that answers 503 in place of ``app`` while the listener, or the process, is full.

    Paths in ``spared`` are answered all the same: whoever asks whether the process lives would else restart it.
    """

    def __init__(
        self, app: Any, load: Load, unsent: Unsent, spared: Collection[str] = (), tally: Tally | None = None
    ) -> None:
        self._app = app
        self._load = load
        self._unsent = unsent
        self._spared = spared
        self._tally = tally

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One request."""
        started, status = time.perf_counter(), 0
        certificate = scope["state"].get("client_certificate")
        unread = self._unsent.full_for(certificate)
        if (unread or self._load.full) and scope["type"] == "http" and scope["path"] not in self._spared:
            await _refuse(send, _UNREAD if unread else _BUSY)
            self._count(Unavailable.status, Unavailable.code, started)
            return

        # Many share an h2 connection, and its client decides when each of them goes on. In HTTP/1.1 a small answer
        # waits only behind others that were not read, and then it is the connection that runs out of time.
        many = scope.get("http_version") == "2"
        largest = 0

        async def counted(message: Message) -> None:
            nonlocal status, largest
            status = message.get("status", status)
            size = len(message.get("body", b""))
            largest = max(largest, size)
            if size < _LARGE and not many:
                await send(message)
                return
            held = largest + _STREAM if many else size  # the end of an answer waits for what was before it
            try:
                with self._unsent.holding(certificate, held), self._load.waiting():
                    async with asyncio.timeout(self._load.time_for(size)):
                        await send(message)
            except TimeoutError:
                raise _Untaken from None

        self._load.under_way += 1
        try:
            await self._app(scope, receive, counted)
        except _Untaken:  # who speaks HTTP below sees an answer that was not finished, and ends it
            log.info("%s took its answer too slowly, and loses it", scope.get("client"))
        finally:
            self._load.under_way -= 1
            self._count(status, scope["state"].get("problem"), started)

    def _count(self, status: int, code: str | None, started: float) -> None:
        if self._tally:
            self._tally.count(status, code, time.perf_counter() - started)


async def _refuse(send: Send, body: bytes) -> None:
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"retry-after", b"%d" % random.randint(_SOONEST, _LATEST)),  # noqa: S311  # no secret
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
