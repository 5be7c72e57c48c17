"""Ways to syslog. Each sends messages and returns when they are taken, as far as the transport can know.

By hand: logging.handlers.SysLogHandler blocks, swallows errors and frames nothing; aiosyslog and
rfc5424-logging-handler do not tell whether anything was taken either.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import ssl
import struct
import termios
from collections.abc import Sequence
from typing import Protocol

from mosaic_audit_syslog.settings import Place, Settings, place_of

_LONGEST_PAUSE = 0.02  # seconds


class Link(Protocol):
    """Sends, over a connection that it opens when it has none. Raises OSError."""

    async def send(self, messages: Sequence[bytes]) -> None:
        """Return when all are taken. After an error the next call begins anew."""
        ...

    def close(self) -> None:
        """Let the connection go."""
        ...


def link(settings: Settings) -> Link:
    """The way that the config names. Nothing is opened yet."""
    place = place_of(settings.address)
    if place.kind in {"unix", "udp"}:
        return Datagrams(place)
    return Stream(place, settings)


class Datagrams:
    """One message each: on a Unix socket the daemon's queue takes it, or the sender waits; UDP knows nothing."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._socket: socket.socket | None = None

    async def send(self, messages: Sequence[bytes]) -> None:
        """One datagram after the other."""
        loop = asyncio.get_running_loop()
        try:
            if self._socket is None:
                self._socket = await self._opened()
            for message in messages:
                await loop.sock_sendall(self._socket, message)
        except BaseException:
            self.close()
            raise

    async def _opened(self) -> socket.socket:
        loop, place = asyncio.get_running_loop(), self._place
        if place.kind == "unix":
            family, address = socket.AF_UNIX, place.path
        else:
            found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_DGRAM)
            family, address = found[0][0], found[0][4]  # type: ignore[assignment]
        opened = socket.socket(family, socket.SOCK_DGRAM)
        try:
            opened.setblocking(False)
            opened.connect(address)  # of datagrams: no waiting
        except OSError:
            opened.close()
            raise
        return opened

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Stream:
    """TCP (RFC 6587, octet counting) or TLS (RFC 5425).

    Neither has an answer. So it waits until the other machine has acknowledged every byte, and a connection that
    the receiver has closed is not written to.
    """

    def __init__(self, place: Place, settings: Settings) -> None:
        self._place = place
        self._settings = settings
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, messages: Sequence[bytes]) -> None:
        """All in one piece."""
        try:
            reader, writer = await self._connection()
            writer.write(b"".join(b"%d %b" % (len(message), message) for message in messages))
            await writer.drain()
            await _acknowledged(reader, writer)
        except BaseException:
            self.close()
            raise

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._open is not None and _ended(*self._open):
            self.close()
        if self._open is None:
            tls = _context(self._settings) if self._place.kind == "tls" else None
            self._open = await _connected(self._place.host, self._place.port, tls)
        return self._open

    def close(self) -> None:
        """Drop the connection; nothing waits in it."""
        if self._open is not None:
            self._open[1].transport.abort()
            self._open = None


class _Deaf(asyncio.StreamReader):
    """What a receiver says is nothing to us; unread it would hide that the receiver has ended."""

    def feed_data(self, data: object) -> None:
        pass


async def _connected(
    host: str, port: int, tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """As asyncio.open_connection, which takes no reader."""
    loop = asyncio.get_running_loop()
    reader = _Deaf(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.create_connection(lambda: protocol, host, port, ssl=tls)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def _ended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    return reader.at_eof() or writer.is_closing()


async def _acknowledged(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Wait. There is no event for it: the kernel is asked again and again, mostly once."""
    pause = 0.0
    while _on_the_way(writer):
        if _ended(reader, writer):
            raise ConnectionResetError("closed by the receiver")
        await asyncio.sleep(pause)
        pause = min(pause * 2 or 0.0005, _LONGEST_PAUSE)
    if writer.is_closing():
        raise ConnectionResetError("closed by the receiver")


def _on_the_way(writer: asyncio.StreamWriter) -> int:
    """Bytes that are ours, or unacknowledged in the kernel (Linux, SIOCOUTQ); elsewhere only the former count."""
    waiting: int = writer.transport.get_write_buffer_size()
    if waiting or writer.is_closing():
        return waiting
    try:
        found = fcntl.ioctl(writer.get_extra_info("socket").fileno(), termios.TIOCOUTQ, b"\0" * 4)
    except OSError:
        return 0
    return int(struct.unpack("i", found)[0])


def _context(settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.client_file:
        context.load_cert_chain(settings.client_file)
    return context
