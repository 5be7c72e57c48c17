"""All that leans on Hypercorn's internals (0.18), guarded by tests/serving/test_hypercorn_contract.py.

Hypercorn parses HTTP and runs the application; the connection around it is ours, because Hypercorn's own
gives no peer certificate, limits neither connections nor slow clients well (its read timeout also cuts
slow *answers*), and makes two tasks and a timer for each request. Here a connection only notes a deadline,
which one sweep per listener compares with the clock.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from contextlib import suppress
from dataclasses import replace
from typing import Any

import h2.errors
import h2.events
import h2.exceptions
import h11
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Body, EndBody, Response, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import BUFFER_HIGH_WATER, H2Protocol
from hypercorn.protocol.h11 import H2ProtocolAssumedError, H11Protocol
from hypercorn.typing import ConnectionState

from mosaic_gateway.serving.fast import FastH1, SpeaksH2
from mosaic_gateway.serving.limits import Limits

log = logging.getLogger("mosaic.serving")

_CHUNK = 64 * 1024  # bytes of one read
_PIECE = 256 * 1024  # bytes of one write
_CLOSING = 2.0  # seconds that a peer has to agree to the end of a connection
_RESETS = 100  # streams a client may cancel before half of all it asked for must be wanted


class Shared:
    """What the connections of one listener have in common."""

    def __init__(self, app: Any, limits: Limits, *, http2: bool = True, fast: bool = True) -> None:
        self.application = app
        self.app = ASGIWrapper(app)
        self.fast = fast
        self.limits = limits
        self.context = WorkerContext(None)
        self.config = Config()
        self.config.h11_max_incomplete_size = limits.max_header_bytes
        self.config.h2_max_header_list_size = limits.max_header_bytes
        self.config.h2_max_concurrent_streams = limits.max_streams
        self.config.alpn_protocols = ["http/1.1", "h2"] if http2 else ["http/1.1"]
        self.config.keep_alive_max_requests = sys.maxsize  # on h2 reaching it loses answers under way
        self.config.include_server_header = False
        self.config.accesslog = None  # Hypercorn's copies os.environ for each request
        self.config.errorlog = log

    async def terminate(self) -> None:
        """Let every connection end with the answer it is giving."""
        await self.context.terminated.set()


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
        self.connection.max_outbound_frame_size = min(self.connection.max_outbound_frame_size, _PIECE)
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


class Connection:
    """One client. ``idle`` means that no request is under way."""

    def __init__(self, shared: Shared, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.idle = True
        self._shared = shared
        self._limits = shared.limits
        self._reader = reader
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._tasks = TaskGroup(self._loop)
        self._tls = writer.get_extra_info("ssl_object")
        alpn = self._tls.selected_alpn_protocol() if self._tls else None
        self._protocol = self._speak_h2() if alpn == "h2" else self._speak_h1()
        self._between_requests = False
        self._ending = False
        self._dropped = False
        self._deadline = self._loop.time() + self._limits.read_timeout
        self._moved_at = self._loop.time()
        self._unsent = 0

    async def run(self) -> None:
        """Serve until either side ends it. No error leaves, save cancellation."""
        try:
            async with self._tasks:
                await self._converse()
        except Exception as error:
            self._note(error)
        finally:
            await self._close()

    def overdue(self, now: float) -> bool:
        """Whether the client let its time pass: to ask, to finish asking, or to take its answer."""
        transport = self._writer.transport
        # asyncio's TLS transport fails here once it is dropped; one that is closing has its own deadline
        unsent = 0 if transport.is_closing() else transport.get_write_buffer_size()
        if isinstance(self._protocol, H2):
            unsent += self._protocol.unsent
        if not unsent or unsent < self._unsent:
            self._moved_at = now
        self._unsent = unsent
        if self._deadline == math.inf and self._reader.at_eof():
            # Left without its answer, and the application did not look: it has as long as one that is told.
            self._deadline = now + self._limits.read_timeout
        return now > min(self._deadline, self._moved_at + self._limits.read_timeout)

    def end(self) -> bool:
        """End it, more firmly each time: close if idle, then drop; False when only cancelling is left.

        An application learns of the end as ``http.disconnect``. Cancelling comes last: it ends Quart's ASGI
        call but not the request handler inside.
        """
        if self.idle and not self._ending:
            self._finish()
        elif self._dropped:
            return False
        else:
            self._dropped = True
            self._drop()
        return True

    def _speak_h1(self) -> H1 | H2 | FastH1:
        shared = self._shared
        if not shared.fast:
            return self._speak(H1)
        scope = {
            "type": "http",
            "asgi": {"spec_version": "2.1", "version": "3.0"},
            "scheme": "https" if self._tls else "http",
            "root_path": shared.config.root_path,
            **self._ends,
            "state": self._state,
        }
        return FastH1(
            shared.application,
            max_header_bytes=shared.limits.max_header_bytes,
            http2="h2" in shared.config.alpn_protocols,
            stopping=shared.context.terminated.is_set,
            scope=scope,
            read=self._pull,
            write=self._write,
            turn=self._turn,
            end=self._finish,
        )

    def _speak_h2(self) -> H1 | H2 | FastH1:
        return self._speak(H2)

    def _speak(self, protocol: type[H1] | type[H2]) -> H1 | H2:
        shared = self._shared
        return protocol(
            shared.app,
            shared.config,
            shared.context,
            self._tasks,
            ConnectionState(self._state),
            self._tls is not None,
            self._ends["client"],
            self._ends["server"],
            self._send,
        )

    @property
    def _state(self) -> dict[str, Any]:
        return {"client_certificate": self._tls.getpeercert(binary_form=True) if self._tls else None}

    @property
    def _ends(self) -> dict[str, Any]:
        peer, ours = (self._writer.get_extra_info(name) for name in ("peername", "sockname"))
        return {"client": peer and peer[:2], "server": ours and ours[:2]}

    async def _converse(self) -> None:
        try:
            await self._protocol.initiate()
            await self._read()
        except Exception as error:
            self._note(error)
        # Applications hear of it here; one that does not listen is cancelled when this time is over.
        self._deadline = self._loop.time() + self._limits.read_timeout
        await self._protocol.handle(Closed())

    def _note(self, error: Exception) -> None:
        log.warning(
            "a connection from %s ended by %s", self._writer.get_extra_info("peername"), type(error).__name__
        )
        log.debug("its trace", exc_info=error)

    async def _read(self) -> None:
        while data := await self._receive():
            if self._ending:
                continue
            if self._between_requests and not isinstance(self._protocol, H2):
                self._between_requests = False
                self._deadline = self._loop.time() + self._limits.read_timeout
            await self._feed(data)
            if self._between_requests and isinstance(self._protocol, FastH1) and self._protocol.begun:
                self._between_requests = False  # it came while the last one was answered
                self._deadline = self._loop.time() + self._limits.read_timeout
            if isinstance(self._protocol, H1) and not self.idle and not self._ending:
                owing = self._protocol.unfinished
                self._deadline = self._loop.time() + self._limits.read_timeout if owing else math.inf

    async def _receive(self) -> bytes:
        try:
            return await self._reader.read(_CHUNK)
        except OSError:  # reset, or a TLS error: an end like any other
            return b""

    async def _pull(self) -> bytes:
        """More from the client, for an application that waits for it in this very task."""
        owing = self._protocol.unfinished
        self._deadline = self._loop.time() + self._limits.read_timeout if owing else math.inf
        try:
            return await self._receive()
        finally:
            if not self.idle and not self._ending:
                self._deadline = math.inf

    async def _feed(self, data: bytes) -> None:
        try:
            await self._protocol.handle(RawData(data))
        except (H2ProtocolAssumedError, SpeaksH2) as preface:
            self._protocol = self._speak_h2()
            await self._protocol.initiate()
            await self._protocol.handle(RawData(preface.data))

    async def _send(self, event: Event) -> None:
        """Do what the protocol asks: write, note whose turn it is, or end."""
        if isinstance(event, RawData):
            await self._write(event.data)
        elif isinstance(event, Updated):
            self._turn(event.idle)
        else:
            self._finish()

    def _turn(self, idle: bool) -> None:
        self.idle = self._between_requests = idle
        self._deadline = self._loop.time() + self._limits.keep_alive if idle else math.inf
        if idle and self._shared.context.terminated.is_set():
            self._finish()

    async def _write(self, data: bytes) -> None:
        """In pieces: of one write TLS takes all there is, and nobody could tell how much of it is still here."""
        one = len(data) <= _PIECE or isinstance(self._protocol, H2)  # its frames come from several tasks
        whole, size = (data, len(data)) if one else (memoryview(data), _PIECE)
        try:
            for start in range(0, len(data), size):
                self._writer.write(whole[start : start + size])
                await self._writer.drain()
                self._moved_at = self._loop.time()
        except (OSError, RuntimeError):  # gone (uvloop: RuntimeError); the reader notices too
            pass

    def _finish(self) -> None:
        if self._ending:
            return
        self._ending = True
        self._deadline = self._loop.time() + _CLOSING
        if not self._protocol.unfinished:
            self._writer.close()
        elif self._writer.can_write_eof() and not self._writer.is_closing():
            # To close over unread bytes sends RST, which may overtake the answer (RFC 9112 section 9.6):
            # say that no more comes, and read on for a moment.
            self._writer.write_eof()

    async def _close(self) -> None:
        self._deadline = self._moved_at = math.inf
        self._writer.close()
        try:
            async with asyncio.timeout(_CLOSING):
                await self._writer.wait_closed()
        except OSError:  # TimeoutError and ssl.SSLError are OSErrors
            pass
        finally:
            self._drop()

    def _drop(self) -> None:
        """Now, whatever waits to be sent. Nothing may fail here: the sweep of the whole listener calls it, too."""
        # AttributeError: asyncio's plain transport, if it came to its end while it was closing
        with suppress(AttributeError):
            self._writer.transport.abort()
