"""HTTP/1.1 at a fraction of the cost: llhttp (httptools) for h11, and no task, queue or timer for a request.

A request runs in the task of its connection, which reads on only when the application asks for more of it. The answer
leaves in one write if it is given in one piece. By hand, for Hypercorn has no such part, and a server that has one
(uvicorn) shows no peer certificate. Limits, deadlines and the ends of connections are those of the connection around.

What the application sets in a context variable stays for the next request of the connection: it is to be reset.
"""

from __future__ import annotations

import logging
from asyncio import get_running_loop
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from hypercorn.events import Closed, Event, RawData

from mosaic_gateway.serving.h1_answer import Answer, Message
from mosaic_gateway.serving.h1_requests import BAD, Request, Requests
from mosaic_gateway.whole import WHOLE

log = logging.getLogger("mosaic.serving")

_PREFACE = b"PRI * HTTP/2.0\r\n\r\n"  # RFC 9113, section 3.4
_WAITING = 16  # pipelined requests that are read ahead of their turn


class SpeaksH2(Exception):  # not an error: news
    """The client began with the preface of HTTP/2; ``data`` is all it has sent."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data


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
        self._requests = Requests(max_header_bytes)
        self._stopping = stopping
        self._scope = scope  # what every request has in common
        self._read = read
        self._write = write
        self._turn = turn
        self._end = end
        self._gone = False
        self._answer = Answer(Request(), stopping)
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

    async def _serve(self, request: Request) -> bool:
        """Answer one request; return whether another may follow."""
        self._turn(False)
        self._answer = answer = Answer(request, self._stopping)
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

    def _scope_of(self, request: Request) -> Message:
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
            await self._write(answer.plain(BAD))
        return {"type": "http.disconnect"}

    async def _take_answer(self, message: Message) -> None:
        """ASGI's ``send``."""
        if data := self._answer.take(message):
            try:
                await self._write(data)
            except BaseException:  # given up in the middle: nobody knows how much of it is on its way
                self._answer.keep = False
                raise
