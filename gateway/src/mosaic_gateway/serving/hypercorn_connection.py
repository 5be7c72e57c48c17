"""The connection around Hypercorn's protocols, and around the fast one.

Hypercorn parses HTTP and runs the application; the connection around it is ours, because Hypercorn's own
gives no peer certificate, limits neither connections nor slow clients well (its read timeout also cuts
slow *answers*), and makes two tasks and a timer for each request. Here a connection only notes a deadline,
which one sweep per listener compares with the clock.

All that leans on Hypercorn's internals (0.18) is in the files ``hypercorn_*.py`` of this folder, guarded by
tests/serving/test_hypercorn_contract.py.
"""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import suppress

from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H2ProtocolAssumedError

from mosaic_gateway.serving.fast import FastH1, SpeaksH2
from mosaic_gateway.serving.hypercorn_protocols import H1, H2, PIECE
from mosaic_gateway.serving.hypercorn_shared import Shared, ends_of

log = logging.getLogger("mosaic.serving")

_CHUNK = 64 * 1024  # bytes of one read
_CLOSING = 2.0  # seconds that a peer has to agree to the end of a connection


class _Over:
    """Stands for the protocol once its connection is closed.

    The two hold each other: both, and the 256 KiB that uvloop takes for TLS, would else wait for the garbage collector.
    """

    unfinished = False

    async def initiate(self) -> None:
        """Nothing is said."""

    async def handle(self, event: Event) -> None:
        """Nothing comes."""


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
        self._ends = ends_of(writer)
        self._protocol: H1 | H2 | FastH1 | _Over = (
            self._speak_h2() if self._ends.alpn == "h2" else self._speak_h1()
        )
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
        if not self._shared.fast:
            return self._shared.speak(H1, self._ends, self._tasks, self._send)
        return self._shared.speak_fast(
            self._ends, read=self._pull, write=self._write, turn=self._turn, end=self._finish
        )

    def _speak_h2(self) -> H1 | H2 | FastH1:
        return self._shared.speak(H2, self._ends, self._tasks, self._send)

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
        one = len(data) <= PIECE or isinstance(self._protocol, H2)  # its frames come from several tasks
        whole, size = (data, len(data)) if one else (memoryview(data), PIECE)
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
            self._protocol = _Over()

    def _drop(self) -> None:
        """Now, whatever waits to be sent. Nothing may fail here: the sweep of the whole listener calls it, too."""
        # AttributeError: asyncio's plain transport, if it came to its end while it was closing
        with suppress(AttributeError):
            self._writer.transport.abort()
