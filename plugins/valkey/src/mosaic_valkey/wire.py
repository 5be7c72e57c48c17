"""One RESP3 connection: commands out, replies back in order, pushes (invalidations, messages) as they come.

By hand over hiredis: redis.asyncio has no client-side caching (its synchronous client has, and refuses Valkey), and
one pipelined connection costs a fraction of its pool's CPU; tests/bench/valkey.py measures that.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis

from mosaic_valkey.server import PATIENCE, Server, explain

Heard = Callable[[list[Any]], None]
_NOTHING = object()


class NoScript(Exception):
    """The server does not have the script of this hash."""


class Wire(asyncio.Protocol):
    """A connection that is up until ``lost`` is done."""

    def __init__(self, heard: Heard) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._heard = heard
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._transport: asyncio.Transport | None = None
        self._why: Exception = ConnectionResetError("the connection was lost")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Called by asyncio. What a push says is done before any later reply is seen."""
        try:
            self._take(data)
        except (hiredis.ProtocolError, IndexError):  # the latter: more replies than questions
            self._why = hiredis.ProtocolError("not the protocol of Valkey")
            self.abort()

    def _take(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not _NOTHING:
            if isinstance(reply, hiredis.PushNotification):
                self._heard(reply)
            elif not (asker := self._waiting.popleft()).done():
                asker.set_exception(reply) if isinstance(reply, Exception) else asker.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Called by asyncio."""
        for asker in self._waiting:
            if not asker.done():
                asker.set_exception(self._why)
        self._waiting.clear()
        if not self.lost.done():
            self.lost.set_result(None)

    def send(self, *command: bytes | str | int | float) -> asyncio.Future[Any]:
        """The reply to come, as bytes, int, list or None. An error reply is raised as hiredis.ReplyError."""
        asker: asyncio.Future[Any] = self.lost.get_loop().create_future()
        if self._transport is None or self._transport.is_closing():
            asker.set_exception(self._why)
        else:
            self._waiting.append(asker)
            self._transport.write(_packed(command))
        return asker

    def tell(self, *command: bytes | str) -> None:
        """Send a command that is answered by a push: SUBSCRIBE and UNSUBSCRIBE."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_packed(command))

    def abort(self) -> None:
        """Drop the connection now."""
        if self._transport is not None:
            self._transport.abort()


def _packed(command: tuple[bytes | str | int | float, ...]) -> bytes:
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub asks for one element
    return packed


async def dial(server: Server, heard: Heard) -> Wire:
    """Connect and greet. Raises :class:`Unavailable` with the cause, and :class:`ConfigError`."""
    wire: Wire | None = None
    try:
        async with asyncio.timeout(PATIENCE):
            wire = await _connect(server, heard)
            hello: list[bytes | str | int] = ["HELLO", 3]
            if server.password is not None:
                hello += ["AUTH", server.username or "default", server.password]
            await wire.send(*hello)
            await wire.send("SELECT", server.database)
    except (OSError, hiredis.HiredisError) as error:
        if wire is not None:
            wire.abort()
        raise explain(error, server) from None
    return wire


async def _connect(server: Server, heard: Heard) -> Wire:
    loop, context = asyncio.get_running_loop(), server.ssl_context()
    if server.path is not None:
        _, wire = await loop.create_unix_connection(lambda: Wire(heard), server.path)
    else:
        _, wire = await loop.create_connection(lambda: Wire(heard), server.host, server.port, ssl=context)
    return wire


async def ask(wire: Wire, server: Server, *command: bytes | str | int | float) -> Any:
    """One command and its reply. A silent server is hung up on.

    Raises :class:`Unavailable` in words, and :class:`NoScript`.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            return await wire.send(*command)
    except TimeoutError as error:
        wire.abort()
        raise explain(error, server) from None
    except (OSError, hiredis.HiredisError) as error:
        if str(error).startswith("NOSCRIPT"):
            raise NoScript from None
        raise explain(error, server) from None
