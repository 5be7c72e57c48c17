"""Hypercorn's HTTP/1.1 and HTTP/2, mended where they are lenient, lose answers, or can be worn out by a client."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import h2.errors
import h2.events
import h2.exceptions
import h11
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Body, EndBody, Response, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import BUFFER_HIGH_WATER, H2Protocol
from hypercorn.protocol.h11 import H2ProtocolAssumedError, H11Protocol

PIECE = 256 * 1024  # bytes of one write
_RESETS = 100  # streams a client may cancel before half of all it asked for must be wanted


class H1(H11Protocol):
    """HTTP/1.1: headers and body in one write; no ambiguous framing; no upgrade to h2c, only prior knowledge."""

    _head = b""

    @property
    def unfinished(self) -> bool:
        """Whether the client is in the middle of a request, or of something that is none."""
        return self.connection.their_state in (h11.SEND_BODY, h11.ERROR)

    async def stream_send(self, event: StreamEvent) -> None:
        """Say ``connection: close`` with answers during a drain."""
        if isinstance(event, Response) and self.context.terminated.is_set():
            event = replace(event, headers=[*event.headers, (b"connection", b"close")])
        await super().stream_send(event)

    async def _send_h11_event(self, event: Any) -> None:
        try:
            data = self._head + self.connection.send(event)
        except h11.LocalProtocolError:
            if self.connection.their_state is not h11.ERROR:
                raise
            return
        self._head = data if isinstance(event, h11.Response) else b""
        if data and not self._head:
            await self.send(RawData(data))

    async def _check_protocol(self, event: h11.Request) -> None:
        preface = (event.method, event.target, event.http_version) == (b"PRI", b"*", b"2.0")
        if preface and "h2" in self.config.alpn_protocols:
            raise H2ProtocolAssumedError(b"PRI * HTTP/2.0\r\n\r\n" + self.connection.trailing_data[0])

    async def _create_stream(self, request: h11.Request) -> None:
        if status := self._refusal(request):
            await self._send_error_response(status)
            await self.send(Closed())
        else:
            await super()._create_stream(request)

    def _refusal(self, request: h11.Request) -> int | None:
        """The status that tells why this request is not served. h11 bounds only headers it has to wait for."""
        if {b"content-length", b"transfer-encoding"} <= {name for name, _ in request.headers}:
            return 400  # RFC 9112 section 6.1: perhaps an attempt to smuggle a request past a proxy
        size = len(request.target) + sum(len(name) + len(value) + 4 for name, value in request.headers)
        return 431 if size > self.config.h11_max_incomplete_size else None  # RFC 6585 section 5


class H2(H2Protocol):
    """h2 that survives what clients do to streams: late DATA, resets without end, answers unread or read slowly."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.connection.decoder.max_header_list_size = self.config.h2_max_header_list_size
        self.unfinished = False  # set when the client is sent away while it may still be sending
        self._resets = 0

    @property
    def unsent(self) -> int:
        """Bytes of answers that the client's windows keep here."""
        return sum(len(buffer.buffer) for buffer in self.stream_buffers.values())

    async def stream_send(self, event: StreamEvent) -> None:
        """Wait until a large piece, or the end, is on its way; reset a stream whose answer is not given to its end."""
        buffer = self.stream_buffers.get(getattr(event, "stream_id", 0))
        if buffer and isinstance(event, EndBody) and not buffer._complete:
            await buffer._is_empty.clear()  # of an empty one Hypercorn does not wait until its end is said
        await super().stream_send(event)
        if buffer is None:
            return
        if isinstance(event, Body) and len(event.data) >= BUFFER_HIGH_WATER:
            await buffer.drain()  # Hypercorn goes on as soon as the client has taken a little
        elif isinstance(event, StreamClosed) and not buffer.complete:
            await buffer.close()
            with suppress(h2.exceptions.ProtocolError):  # the client has ended it
                self.connection.reset_stream(event.stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
                await self._flush()
            await self._window_updated(event.stream_id)  # so that the buffer is let go

    async def _send_data(self, stream_id: int) -> None:
        """In frames like our writes, however large ones the client takes."""
        self.connection.max_outbound_frame_size = min(self.connection.max_outbound_frame_size, PIECE)
        await super()._send_data(stream_id)

    async def handle(self, event: Event) -> None:
        """Free the applications that wait to send when the connection is gone."""
        if isinstance(event, Closed):
            for buffer in list(self.stream_buffers.values()):
                await buffer.close()
        await super().handle(event)

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        for event in events:
            match event:
                case h2.events.DataReceived() if event.stream_id not in self.streams:
                    # The rest of a request that is already answered: drop it, and reopen the window.
                    self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    await self._flush()
                case h2.events.RequestReceived() if not _parsable(event):
                    self.connection.reset_stream(event.stream_id, h2.errors.ErrorCodes.PROTOCOL_ERROR)
                    await self._flush()
                case h2.events.StreamReset():
                    await self._reset(event)
                case _:
                    await super()._handle_events([event])

    async def _reset(self, event: h2.events.StreamReset) -> None:
        """Drop what was to be sent; end a client that mostly cancels (rapid reset, CVE-2023-44487)."""
        if event.stream_id in self.stream_buffers:
            await self.stream_buffers[event.stream_id].close()
        await super()._handle_events([event])
        self._resets += 1
        if self._resets > _RESETS and 2 * self._resets > self.keep_alive_requests:
            self.unfinished = True
            self.connection.close_connection(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
            await self._flush()
            await self.send(Closed())
        elif self.idle:
            await self.send(Updated(idle=True))


def _parsable(request: h2.events.RequestReceived) -> bool:
    """Whether Hypercorn can read this path: it decodes it as ASCII, and would lose the whole connection."""
    return dict(request.headers or ()).get(b":path", b"\xff").isascii()
