"""HTTP/1.1 as it comes: bytes in, requests out, in order, by llhttp (httptools)."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any, cast

import httptools

TOO_LARGE, BAD, NOT_IMPLEMENTED, VERSION = 431, 400, 501, 505
_TARGET = re.compile(rb"[\x21-\x7e]+")
# What HTTP itself goes by.
_TOLD = {b"host", b"content-length", b"transfer-encoding", b"expect", b"connection"}

Headers = list[tuple[bytes, bytes]]


@dataclass(slots=True, eq=False)
class Request:
    """What has come of a request. ``refusal`` is the status that tells why it is not served."""

    method: str = ""
    version: str = ""
    target: bytes = b""
    headers: Headers = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)
    complete: bool = False
    refusal: int = 0
    told: dict[bytes, list[bytes]] = field(default_factory=dict)  # headers that HTTP itself goes by


class Requests:
    """Bytes in, requests out, in order. llhttp calls the ``on_`` methods."""

    def __init__(self, max_header_bytes: int) -> None:
        self.arrived: deque[Request] = deque()
        self.broken = False  # nothing more can be read
        self._limit = max_header_bytes
        self._parser: Any = httptools.HttpRequestParser(self)
        self._current = Request(complete=True)
        self.in_head = False  # of a request that has begun
        self._size = 0  # of the head so far, as far as it is parsed
        self._bare = 0  # bytes since the head or a piece of body: unparsed headers, trailers, extensions
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
                self._refuse(BAD)
                return
            self._bare = 0 if self._moved else self._bare + len(data)
            if not self._current.complete and self._bare > self._limit:
                self._refuse(TOO_LARGE if self.in_head else BAD)
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
        """A request begins."""
        if self._going_on:
            return
        self._current, self.in_head, self._size = Request(), True, 0

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        if self._going_on:
            return
        self._current.target += url
        self._size += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer."""
        if self.in_head:  # else it is a trailer, which nobody asks for
            self._size += len(name) + len(value) + 4
            name, value = name.lower(), value.strip(b" \t")
            self._current.headers.append((name, value))
            if name in _TOLD:
                self._current.told.setdefault(name, []).append(value)

    def on_headers_complete(self) -> None:
        """The head is all there."""
        if self._going_on:
            return
        request = self._current
        self.in_head, self._moved = False, True
        request.method = self._parser.get_method().decode("ascii")
        request.version = self._parser.get_http_version()
        request.refusal = TOO_LARGE if self._size > self._limit else _refusal(request)
        self.broken = bool(request.refusal)
        self.arrived.append(request)

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._moved = True
        self._current.body.append(body)

    def on_message_complete(self) -> None:
        """The request is all there."""
        self._moved = True
        self._current.complete = True

    def _refuse(self, status: int) -> None:
        """One that is being answered is not refused any more: it only never comes to its end."""
        self.broken = True
        if self.in_head or self._current.complete:
            self.arrived.append(Request(refusal=status))


def _refusal(request: Request) -> int:
    """What llhttp lets pass and h11 does not (RFC 9112, sections 3.2, 6.1 and 6.3)."""
    hosts, codings = request.told.get(b"host", ()), request.told.get(b"transfer-encoding")
    if request.version not in {"1.0", "1.1"}:
        return VERSION
    if len(hosts) > 1 or (not hosts and request.version == "1.1"):
        return BAD
    if codings and (request.version == "1.0" or b"content-length" in request.told):
        return BAD
    if codings and [coding.lower() for coding in codings] != [b"chunked"]:
        return NOT_IMPLEMENTED
    return 0 if _TARGET.fullmatch(request.target) else BAD
