"""HTTP/1.1 as it leaves: an answer of ASGI's messages, as bytes."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from mosaic_gateway.serving.h1_requests import Headers, Request
from mosaic_gateway.whole import WHOLE

_NO_BODY = {204, 304}
_OURS = {b"content-length", b"connection", b"transfer-encoding"}  # HTTP itself goes by them

Message = dict[str, Any]


class Answer:
    """The answer to a request, as bytes. The head waits for the first piece of the body."""

    def __init__(self, request: Request, stopping: Callable[[], bool]) -> None:
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
