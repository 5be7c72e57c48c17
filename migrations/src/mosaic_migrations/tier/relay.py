"""COPY from one server to another without holding a row: asyncpg keeps a whole one, which may be a gigabyte.

By hand for that reason: both servers speak the same frames (PostgreSQL's protocol 3.0, "COPY Operations"), so
their content is handed on as it comes. asyncpg connects, authenticates and does all else; meanwhile it is idle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from struct import Struct

import asyncpg

_HEAD = Struct("!cI")  # kind, then the length of what follows with these four bytes
_QUERY, _COPY_DATA, _COPY_DONE, _COPY_FAIL = b"Q", b"d", b"c\0\0\0\4", b"f\0\0\0\5\0"
_COPY_BEGINS, _ERROR, _READY = (b"G", b"H"), b"E", b"Z"


async def relay(source: asyncpg.Connection, read: str, target: asyncpg.Connection, write: str) -> None:
    """Run ``read``, a COPY … TO STDOUT, into ``write``, a COPY … FROM STDIN, in at most some 300 kB of memory.

    Raises the :class:`asyncpg.PostgresError` of the side that failed, or :class:`ConnectionError` if it was lost.
    The other side has then ended its statement and can be used; both are closed if this is cancelled.
    """
    with _taken(target) as writer, _taken(source) as reader:
        writer.ask(write)
        await writer.begun.wait()
        if not writer.failure:
            reader.feeds(writer)
            reader.ask(read)
            await reader.ended.wait()
            writer.take(bytes(reader.left))  # lost in the middle of a row: the target waits for as many bytes
            writer.take(_COPY_FAIL if reader.failure else _COPY_DONE)
        await writer.ended.wait()
    if failure := reader.failure or writer.failure:
        raise failure


@contextmanager
def _taken(connection: asyncpg.Connection) -> Iterator[_Speaker]:
    """Speak for a connection between two of its queries."""
    transport = connection._transport  # there is no public way; test_relay.py guards this one
    usual = transport.get_protocol()
    speaker = _Speaker(transport, usual)
    transport.set_protocol(speaker)
    try:
        yield speaker
    finally:
        transport.set_protocol(usual)
        if not speaker.is_idle:
            connection.terminate()


class _Speaker(asyncio.Protocol):
    """One side of a COPY: cuts what the server says into messages, and hands the rows on."""

    def __init__(self, transport: asyncio.Transport, usual: asyncio.BaseProtocol) -> None:
        self.transport = transport
        self.begun = asyncio.Event()  # rows may come or go
        self.ended = asyncio.Event()  # ready for the next statement, or lost
        self.failure: asyncpg.PostgresError | ConnectionError | None = None
        self.feeder: asyncio.Transport | None = None  # waits while this side takes no more
        self._usual = usual
        self._asked = False
        self._hand_on: Callable[[bytes], None] = _discard
        self.left = 0  # bytes still to come of the current CopyData
        self._rest = b""  # of a message that is not whole yet; never of CopyData

    @property
    def is_idle(self) -> bool:
        return self.ended.is_set() or not self._asked

    def ask(self, statement: str) -> None:
        self._asked = True
        text = statement.encode() + b"\0"
        self.transport.write(_HEAD.pack(_QUERY, len(text) + 4) + text)

    def feeds(self, writer: _Speaker) -> None:
        self._hand_on = writer.take
        writer.feeder = self.transport

    def take(self, rows: bytes) -> None:
        if not self.transport.is_closing():  # after an error, too: a message must not stay unfinished
            self.transport.write(rows)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data, self._rest = self._rest + data, b""
        first, at = 0, min(self.left, len(data))
        self.left -= at
        while at + _HEAD.size <= len(data):
            kind, length = _HEAD.unpack_from(data, at)
            end = at + 1 + length
            if kind == _COPY_DATA:
                at = min(end, len(data))
                self.left = end - at
            elif end <= len(data):
                self._pass(data[first:at])
                self._heard(kind, data[at + _HEAD.size : end])
                first = at = end
            else:
                break
        self._pass(data[first:at])
        self._rest = data[at:]

    def pause_writing(self) -> None:
        if self.feeder:
            self.feeder.pause_reading()

    def resume_writing(self) -> None:
        if self.feeder:
            self.feeder.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.failure = self.failure or ConnectionError("lost while rows were copied")
        self.begun.set()
        self.ended.set()
        self.resume_writing()  # the source goes on to the end of its statement
        self._usual.connection_lost(exc)

    def _pass(self, rows: bytes) -> None:
        if rows:
            self._hand_on(rows)

    def _heard(self, kind: bytes, body: bytes) -> None:
        if kind == _ERROR:
            fields = (field.decode() for field in body.split(b"\0") if field)
            self.failure = asyncpg.PostgresError.new({field[0]: field[1:] for field in fields})
        if kind == _READY:
            self.ended.set()
        if kind in (*_COPY_BEGINS, _READY):
            self.begun.set()


def _discard(rows: bytes) -> None:
    """What arrives before a statement is asked is of no use."""
