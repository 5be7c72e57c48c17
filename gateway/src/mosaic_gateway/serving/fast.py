"""HTTP/1.1 at a fraction of the cost: llhttp (httptools) for h11, and no task, queue or timer for a request.

A request runs in the task of its connection, which reads on only when the application asks for more of it. The answer
leaves in one write if it is given in one piece. By hand, for Hypercorn has no such part, and a server that has one
(uvicorn) shows no peer certificate. Limits, deadlines and the ends of connections are those of the connection around.

What the application sets in a context variable stays for the next request of the connection: it is to be reset.
"""

from __future__ import annotations

import logging
import re
import time
from asyncio import get_running_loop
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, cast
from urllib.parse import unquote

import httptools
from hypercorn.events import Closed, Event, RawData

from mosaic_gateway.whole import WHOLE

log = logging.getLogger("mosaic.serving")

_PREFACE = b"PRI * HTTP/2.0\r\n\r\n"  # RFC 9113, section 3.4
_WAITING = 16  # pipelined requests that are read ahead of their turn
_TOO_LARGE, _BAD, _NOT_IMPLEMENTED, _VERSION = 431, 400, 501, 505
_NO_BODY = {204, 304}
_TARGET = re.compile(rb"[\x21-\x7e]+")
# What HTTP itself goes by in a request's headers, and in an answer's.
_TOLD = {b"host", b"content-length", b"transfer-encoding", b"expect", b"connection"}
_OURS = {b"content-length", b"connection", b"transfer-encoding"}

Headers = list[tuple[bytes, bytes]]
Message = dict[str, Any]


class SpeaksH2(Exception):  # not an error: news
    """The client began with the preface of HTTP/2; ``data`` is all it has sent."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data


@dataclass(slots=True, eq=False)
class _Request:
    """What has come of a request. ``refusal`` is the status that tells why it is not served."""

    method: str = ""
    version: str = ""
    target: bytes = b""
    headers: Headers = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)
    complete: bool = False
    refusal: int = 0
    told: dict[bytes, list[bytes]] = field(default_factory=dict)  # headers that HTTP itself goes by


class _Requests:
    """Bytes in, requests out, in order. llhttp calls the ``on_`` methods."""

    def __init__(self, max_header_bytes: int) -> None:
        self.arrived: deque[_Request] = deque()
        self.broken = False  # nothing more can be read
        self._limit = max_header_bytes
        self._parser: Any = httptools.HttpRequestParser(self)
        self._current = _Request(complete=True)
        self.in_head = False  # of a request that has begun
        self._size = 0  # of the head so far, as far as it is parsed
        self._bare = (
            0  # bytes since the head or its last piece of body: unparsed headers, trailers, extensions
        )
        self._moved = False
        self._going_on = False

    def feed(self, data: bytes) -> None:
        """Take what came. What is no HTTP ends as a request with a refusal."""
        while data and not self.broken:
            self._moved = False
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # No upgrade is offered: what follows belongs to this request, or is the next. After CONNECT nothing is.
                self.broken = self._current.method == "CONNECT"
                self._go_on()
                data = data[cast(int, upgrade.args[0]) :]
                continue
            except httptools.HttpParserError:
                self._refuse(_BAD)
                return
            self._bare = 0 if self._moved else self._bare + len(data)
            if not self._current.complete and self._bare > self._limit:
                self._refuse(_TOO_LARGE if self.in_head else _BAD)
            return

    def end(self) -> None:
        """Nothing more comes. The parser knows these methods, and is known here: neither would go by itself."""
        self.broken, self._parser = True, None

    def _go_on(self) -> None:
        """Parse on as if the request had asked for no upgrade: llhttp would leave out its body."""
        framing = [h for h in self._current.headers if h[0] in {b"content-length", b"transfer-encoding"}]
        self._parser = httptools.HttpRequestParser(self)
        if framing and not self.broken:
            self._current.complete = False
            self._going_on = True
            lines = b"".join(b"%s: %s\r\n" % header for header in framing)
            self._parser.feed_data(b"POST / HTTP/1.1\r\n" + lines + b"\r\n")
            self._going_on = False

    def on_message_begin(self) -> None:
        if self._going_on:
            return
        self._current, self.in_head, self._size = _Request(), True, 0

    def on_url(self, url: bytes) -> None:
        if self._going_on:
            return
        self._current.target += url
        self._size += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.in_head:  # else it is a trailer, which nobody asks for
            self._size += len(name) + len(value) + 4
            name, value = name.lower(), value.strip(b" \t")
            self._current.headers.append((name, value))
            if name in _TOLD:
                self._current.told.setdefault(name, []).append(value)

    def on_headers_complete(self) -> None:
        if self._going_on:
            return
        request = self._current
        self.in_head, self._moved = False, True
        request.method = self._parser.get_method().decode("ascii")
        request.version = self._parser.get_http_version()
        request.refusal = _TOO_LARGE if self._size > self._limit else _refusal(request)
        self.broken = bool(request.refusal)
        self.arrived.append(request)

    def on_body(self, body: bytes) -> None:
        self._moved = True
        self._current.body.append(body)

    def on_message_complete(self) -> None:
        self._moved = True
        self._current.complete = True

    def _refuse(self, status: int) -> None:
        """One that is being answered is not refused any more: it only never comes to its end."""
        self.broken = True
        if self.in_head or self._current.complete:
            self.arrived.append(_Request(refusal=status))


def _refusal(request: _Request) -> int:
    """What llhttp lets pass and h11 does not (RFC 9112, sections 3.2, 6.1 and 6.3)."""
    hosts, codings = request.told.get(b"host", ()), request.told.get(b"transfer-encoding")
    if request.version not in {"1.0", "1.1"}:
        return _VERSION
    if len(hosts) > 1 or (not hosts and request.version == "1.1"):
        return _BAD
    if codings and (request.version == "1.0" or b"content-length" in request.told):
        return _BAD
    if codings and [coding.lower() for coding in codings] != [b"chunked"]:
        return _NOT_IMPLEMENTED
    return 0 if _TARGET.fullmatch(request.target) else _BAD


class FastH1:
    """One connection's HTTP/1.1. ``read`` gives more of what the client sends, nothing at its end."""

    def __init__(
        self,
        app: Any,
        *,
        max_header_bytes: int,
        http2: bool,
        stopping: Callable[[], bool],
        scope: Message,
        read: Callable[[], Awaitable[bytes]],
        write: Callable[[bytes], Awaitable[None]],
        turn: Callable[[bool], None],
        end: Callable[[], None],
    ) -> None:
        """``turn`` is told whether no request is under way, ``end`` that the connection is to end."""
        self._app = app
        self._requests = _Requests(max_header_bytes)
        self._stopping = stopping
        self._scope = scope  # what every request has in common
        self._read = read
        self._write = write
        self._turn = turn
        self._end = end
        self._gone = False
        self._answer = _Answer(_Request(), stopping)
        self._first: bytes | None = b"" if http2 else None  # until it is clear that this is not the preface

    @property
    def unfinished(self) -> bool:
        """Whether the client is in the middle of a request, or of something that is none."""
        arrived = self._requests.arrived
        return self._requests.broken or bool(arrived and not arrived[-1].complete)

    @property
    def begun(self) -> bool:
        """Whether there is a piece of the next request's head."""
        return self._requests.in_head

    async def initiate(self) -> None:
        """Nothing is said before the client speaks."""

    async def handle(self, event: Event) -> None:
        """Take what came, and answer the requests in it. Raises :class:`SpeaksH2`."""
        if isinstance(event, RawData):
            self._take(event.data)
            while self._requests.arrived:
                if not await self._serve(self._requests.arrived[0]):
                    self._end()
                    return
                self._requests.arrived.popleft()
                if not self._requests.arrived:
                    self._turn(True)
        elif isinstance(event, Closed):
            self._requests.end()

    def _take(self, data: bytes) -> None:
        if self._first is not None:
            data = self._first + data
            if data.startswith(_PREFACE):
                self._requests.end()
                raise SpeaksH2(data)
            if _PREFACE.startswith(data):
                self._first = data
                return
            self._first = None
        self._requests.feed(data)

    async def _serve(self, request: _Request) -> bool:
        """Answer one request; return whether another may follow."""
        self._turn(False)
        self._answer = answer = _Answer(request, self._stopping)
        if request.refusal:  # no application sees it, so that this is all there is on record of it
            log.info(
                "a request from %s was refused with %d, unread", self._scope.get("client"), request.refusal
            )
            await self._write(answer.plain(request.refusal))
            return False
        try:
            await self._app(self._scope_of(request), self._next, self._take_answer)
        except Exception:  # whatever it is, the connection goes on or ends in order
            log.exception("the application failed to answer a request")
        if not answer.begun:
            await self._write(answer.plain(500))
        return answer.over and answer.keep and request.complete and not self._stopping()

    def _scope_of(self, request: _Request) -> Message:
        path, _, query = request.target.partition(b"?")
        text = path.decode("ascii")
        return {
            **self._scope,
            "http_version": request.version,
            "method": request.method,
            "path": unquote(text) if "%" in text else text,
            "raw_path": path,
            "query_string": query,
            "headers": request.headers,
            "state": self._scope["state"].copy(),
            "extensions": {WHOLE: {}},
        }

    async def _next(self) -> Message:
        """ASGI's ``receive``: the body, then the end of the client or of the answer."""
        answer = self._answer
        request = answer.request
        while not (request.body or (request.complete and not answer.asked_all) or answer.over or self._gone):
            if answer.continues:
                answer.continues = False
                await self._write(b"HTTP/1.1 100 \r\n\r\n")
            arrived = self._requests.arrived
            if len(arrived) > _WAITING or (arrived[-1] is not request and arrived[-1].body):
                await get_running_loop().create_future()  # its turn comes when the answer is given
            data = await self._read()
            self._requests.feed(data)
            self._gone = not data or (self._requests.broken and not request.complete)
        if request.body or (request.complete and not answer.asked_all and not answer.over):
            body = b"".join(request.body)
            request.body.clear()
            answer.asked_all = request.complete
            return {"type": "http.request", "body": body, "more_body": not request.complete}
        if self._gone and not (request.complete or answer.begun):  # whatever the application makes of it
            await self._write(answer.plain(_BAD))
        return {"type": "http.disconnect"}

    async def _take_answer(self, message: Message) -> None:
        """ASGI's ``send``."""
        if data := self._answer.take(message):
            try:
                await self._write(data)
            except BaseException:  # given up in the middle: nobody knows how much of it is on its way
                self._answer.keep = False
                raise


class _Answer:
    """The answer to a request, as bytes. The head waits for the first piece of the body."""

    def __init__(self, request: _Request, stopping: Callable[[], bool]) -> None:
        self.request = request
        self._stopping = stopping
        self.begun = False
        self.over = False
        self.refused = False  # by this server: what the application says is not sent
        self.asked_all = False  # the application has all of the request
        told = request.told
        self.continues = b"expect" in told and b"100-continue" in [each.lower() for each in told[b"expect"]]
        self.keep = request.version == "1.1" and request.method != "CONNECT"
        if b"connection" in told:
            tokens = b",".join(told[b"connection"]).lower().split(b",")
            self.keep = self.keep and b"close" not in [token.strip() for token in tokens]
        self._status = 0
        self._headers: Headers = []
        self._left: int | None = None  # bytes announced and not yet sent; None: not announced
        self._chunked = False

    def plain(self, status: int) -> bytes:
        """An answer without a body, after which the connection ends."""
        self._status, self._headers, self._left, self.keep = status, [], None, False
        data = self.take({"type": "http.response.body"})
        self.refused = True
        return data

    def take(self, message: Message) -> bytes:
        """Return what is to be sent for a message of the application. Raises ValueError for one that cannot be."""
        kind = message["type"]
        if self.refused:
            return b""
        if kind in {"http.response.start", WHOLE} and not self._status:
            self._status, self._headers = int(message["status"]), list(message.get("headers", ()))
            if kind != WHOLE:
                return b""
        elif kind != "http.response.body" or not self._status or self.over:
            raise ValueError(f"the application sent {kind} out of order")
        body, more = bytes(message.get("body", b"")), bool(message.get("more_body", False))
        head = b"" if self.begun else self._head(body, more=more)
        self.begun, self.over = True, not more
        return head + self._framed(body, more=more)

    def _head(self, body: bytes, *, more: bool) -> bytes:
        request, lines = self.request, [b"HTTP/1.1 %d \r\n" % self._status]
        for name, value in self._headers:
            if (own := name.lower()) in _OURS:
                if own == b"content-length":
                    self._left = int(value)
                else:  # the others are ours to say
                    self.keep = self.keep and not (own == b"connection" and value.lower() == b"close")
                    continue
            lines.append(b"%s: %s\r\n" % (name, value))
        self.keep = self.keep and request.complete and not self._stopping()
        if self._left is None and self._status not in _NO_BODY:
            if not more:
                self._left = len(body)
                lines.append(b"content-length: %d\r\n" % self._left)
            elif request.version == "1.1":
                self._chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
            else:
                self.keep = False  # its end is the end of the connection
        lines.append(_date())
        if not self.keep:
            lines.append(b"connection: close\r\n")
        head = b"".join(lines)
        if not head.count(b"\n") == head.count(b"\r") == len(lines) or b"\0" in head:
            raise ValueError("a header of the answer holds a line break or NUL")
        return head + b"\r\n"

    def _framed(self, body: bytes, *, more: bool) -> bytes:
        if self.request.method == "HEAD" or self._status in _NO_BODY:
            return b""
        if self._chunked:
            chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
            return chunk if more else chunk + b"0\r\n\r\n"
        if self._left is None:
            return body
        self._left -= len(body)
        if self._left < 0 or (self._left and not more):
            self.keep = False
            raise ValueError("the answer is not as long as its content-length says")
        return body


_now: tuple[int, bytes] = (0, b"")


def _date() -> bytes:
    """The header, made once a second."""
    global _now  # noqa: PLW0603
    second = int(time.time())
    if _now[0] != second:
        _now = (second, b"date: %s\r\n" % formatdate(second, usegmt=True).encode("ascii"))
    return _now[1]
