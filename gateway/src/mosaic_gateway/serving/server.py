"""Accepting, counting and draining connections."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mosaic_gateway.serving.hypercorn_adapter import Connection, Shared
from mosaic_gateway.serving.limits import Limits
from mosaic_gateway.serving.tls import server_context
from mosaic_hookspecs.types import Listener

log = logging.getLogger("mosaic.serving")

_HANDSHAKE = 5.0  # seconds for a TLS handshake
_SHUTDOWN = 2.0  # seconds for the peer's TLS close_notify
_LAST = 1.0  # seconds for a dropped connection to leave the application, and again once cancelled
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A listener, the ASGI application behind it, and its bound socket."""

    listener: Listener
    app: Any
    socket: socket.socket


async def serve(endpoints: Sequence[Endpoint], *, stop: asyncio.Event, limits: Limits) -> None:
    """Serve until ``stop`` is set, drain, and return. The sockets are closed in any case.

    A stop ends idle connections and handshakes, waits ``limits.drain`` seconds for answers under way, then
    drops what is left. The ASGI lifespan is not run: what applications need is up already.
    Raises :class:`ConfigError` for unusable TLS material, and whatever ``listener.tls`` raises.
    """
    try:
        doors = [_Door(endpoint, await _tls(endpoint.listener), limits) for endpoint in endpoints]
        async with asyncio.TaskGroup() as group:
            accepting = [group.create_task(door.accept()) for door in doors]
            sweeping = [group.create_task(door.sweep()) for door in doors]
            try:
                await stop.wait()
            finally:
                await _end(accepting)
                _close(endpoints)
                await asyncio.gather(*(door.drain() for door in doors))
                await _end(sweeping)
    finally:
        _close(endpoints)


async def _tls(listener: Listener) -> ssl.SSLContext | None:
    return None if listener.tls is None else server_context(await listener.tls(), listener=listener.name)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _close(endpoints: Sequence[Endpoint]) -> None:
    for endpoint in endpoints:
        endpoint.socket.close()


class _Door:
    """One listening socket and the connections that came through it; None stands for a handshake."""

    def __init__(self, endpoint: Endpoint, tls: ssl.SSLContext | None, limits: Limits) -> None:
        self._endpoint = endpoint
        self._tls = tls
        self._limits = limits
        self._shared = Shared(endpoint.app, limits)
        self._live: dict[asyncio.Task[None], Connection | None] = {}
        self._full = False

    async def accept(self) -> None:
        """Accept by hand: asyncio's server shows a connection only after its handshake, too late to count."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(self._endpoint.socket)
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    log.warning("listener %r cannot accept: %s", self._endpoint.listener.name, error.strerror)
                    await asyncio.sleep(1)
                continue
            if self._has_room():
                task = loop.create_task(self._converse(client))
                self._live[task] = None
                task.add_done_callback(self._live.pop)
            else:
                client.close()

    async def sweep(self) -> None:
        """End the connections whose clients are overdue."""
        pause = min(1.0, self._limits.keep_alive / 4, self._limits.read_timeout / 4)
        while True:
            await asyncio.sleep(pause)
            now = asyncio.get_running_loop().time()
            for task, connection in list(self._live.items()):
                if connection is not None and connection.overdue(now) and not connection.end():
                    task.cancel()

    async def drain(self) -> None:
        """End what is idle, wait for the rest, then drop it."""
        await self._shared.terminate()
        for task, connection in list(self._live.items()):
            if connection is None:
                task.cancel()
            elif connection.idle:
                connection.end()
        await self._wait(self._limits.drain)
        if self._live:
            log.warning(
                "listener %r drops %d connections at its stop", self._endpoint.listener.name, len(self._live)
            )
        for connection in list(self._live.values()):
            if connection is not None:
                connection.end()
                connection.end()  # a second time: to drop it, closed politely or not
        await self._wait(_LAST)
        for task in list(self._live):
            task.cancel()
        await self._wait(_LAST)

    async def _wait(self, seconds: float) -> None:
        if self._live:
            await asyncio.wait(self._live, timeout=seconds)

    def _has_room(self) -> bool:
        full = len(self._live) >= self._limits.max_connections
        if full and not self._full:  # said once, not for each one refused
            log.warning("listener %r has %d connections: full", self._endpoint.listener.name, len(self._live))
        self._full = full
        return not full

    async def _converse(self, client: socket.socket) -> None:
        try:
            connection = Connection(self._shared, *await self._open(client))
        except OSError as error:  # ssl.SSLError and TimeoutError are OSErrors
            reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or str(error)
            log.info("listener %r: no connection: %s", self._endpoint.listener.name, reason)
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # for the type checker: this coroutine only runs as a task
        self._live[task] = connection
        await connection.run()

    async def _open(self, client: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        timeouts = (
            {"ssl_handshake_timeout": _HANDSHAKE, "ssl_shutdown_timeout": _SHUTDOWN} if self._tls else {}
        )
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, client, ssl=self._tls, **timeouts)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
