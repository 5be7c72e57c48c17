"""Accepting, counting and draining connections."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Collection, MutableMapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import Any

from mosaic_gateway.serving.alerts import alerting
from mosaic_gateway.serving.handshakes import Turns
from mosaic_gateway.serving.hypercorn_connection import Connection
from mosaic_gateway.serving.hypercorn_shared import Shared
from mosaic_gateway.serving.limits import Limits
from mosaic_gateway.serving.load import Lag, Load, Shedding, Unsent
from mosaic_gateway.serving.metrics import Tally
from mosaic_gateway.serving.tls import server_context
from mosaic_hookspecs.limits import client_of
from mosaic_hookspecs.metrics import Metrics
from mosaic_hookspecs.protocols import ServedListener
from mosaic_hookspecs.types import TLS, Listener

log = logging.getLogger("mosaic.serving")

_HANDSHAKE = 5.0  # seconds for a TLS handshake
_SHUTDOWN = 2.0  # seconds for the peer's TLS close_notify
_ENDING = 1.0  # seconds for an answer under way to a client whose connections are ended
_LAST = 1.0  # seconds for a dropped connection to leave the application, and again once cancelled
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A listener, the ASGI application behind it, its bound socket, and the paths that are answered at any load."""

    listener: Listener
    app: Any
    socket: socket.socket
    spared: Collection[str] = ()


async def serve(
    endpoints: Sequence[Endpoint],
    *,
    stop: asyncio.Event,
    limits: Limits,
    served: MutableMapping[str, ServedListener] | None = None,
    fast: bool = True,
    metrics: Metrics | None = None,
) -> None:
    """Serve until ``stop`` is set, drain, and return. The sockets are closed in any case.

    A stop ends idle connections and handshakes, waits ``limits.drain`` seconds for answers under way, then
    drops what is left. The ASGI lifespan is not run: what applications need is up already. ``served`` holds
    the listeners while they are served; ``fast`` says whether HTTP/1.1 is spoken by llhttp;
    ``metrics`` counts the requests.
    Raises :class:`ConfigError` for unusable TLS material, and whatever ``listener.tls`` raises.
    """
    lag, unsent = Lag(), Unsent(limits.max_unsent)
    doors = {}
    for each in endpoints:
        tally = Tally(metrics, each.listener.name) if metrics else None
        doors[each.listener.name] = _Door(each, limits, lag, unsent, tally, fast=fast)
    served = {} if served is None else served
    try:
        for name, door in doors.items():
            await door.reload()
            served[name] = door
        async with asyncio.TaskGroup() as group:
            accepting = [group.create_task(door.accept()) for door in doors.values()]
            watching = [group.create_task(door.sweep()) for door in doors.values()]
            watching.append(group.create_task(lag.watch()))
            try:
                await stop.wait()
            finally:
                await _end(accepting)
                _close(endpoints)
                await asyncio.gather(*(door.drain() for door in doors.values()))
                await _end(watching)
    finally:
        served.clear()
        _close(endpoints)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _close(endpoints: Sequence[Endpoint]) -> None:
    for endpoint in endpoints:
        endpoint.socket.close()


class _Door:
    """One listening socket and the connections that came through it; None stands for a handshake.

    Implements :class:`mosaic_hookspecs.protocols.ServedListener`.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        limits: Limits,
        lag: Lag,
        unsent: Unsent,
        tally: Tally | None,
        *,
        fast: bool,
    ) -> None:
        self._endpoint = endpoint
        self._limits = limits = limits.narrowed(endpoint.listener.limits)
        app = Shedding(endpoint.app, Load(limits, lag), unsent, endpoint.spared, tally)
        self._shared = Shared(app, limits, http2=endpoint.listener.http2, fast=fast)
        self._material: TLS | None = None
        self._tls: ssl.SSLContext | None = None
        self._reloading = asyncio.Lock()
        self._turns = Turns(limits.max_handshakes, limits.handshake_rate, patience=_HANDSHAKE)
        self._live: dict[asyncio.Task[None], Connection | None] = {}
        self._of_address: Counter[str] = Counter()
        self._of_certificate: dict[str, set[Connection]] = {}  # by its serial
        self._full = False

    async def reload(self) -> None:
        """Have new connections use what ``listener.tls`` says now."""
        listener = self._endpoint.listener
        if listener.tls is None:
            return
        async with self._reloading:
            material = await listener.tls()
            if material != self._material:
                build = partial(server_context, material, listener=listener.name, http2=listener.http2)
                self._tls = await asyncio.to_thread(build)  # a long revocation list takes its time
                self._material = material

    def serials(self) -> Set[str]:
        """Of the client certificates with open connections."""
        return self._of_certificate.keys()

    def end(self, serials: Collection[str]) -> None:
        """Close the idle connections of these certificates, and the others a moment later."""
        for serial in serials:
            for connection in list(self._of_certificate.get(serial, ())):
                if not connection.idle:
                    asyncio.get_running_loop().call_later(_ENDING, connection.end)
                else:
                    connection.end()

    async def accept(self) -> None:
        """Accept by hand: asyncio's server shows a connection only after its handshake, too late to count."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, address = await loop.sock_accept(self._endpoint.socket)
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    log.warning("listener %r cannot accept: %s", self._endpoint.listener.name, error.strerror)
                    await asyncio.sleep(1)
                continue
            place = client_of(address)
            if self._has_room(place):
                task = loop.create_task(self._converse(client, place))
                self._live[task] = None
                self._of_address[place] += 1
                task.add_done_callback(partial(self._left, place))
            else:
                client.close()

    async def sweep(self) -> None:
        """End the connections whose clients are overdue."""
        pause = min(1.0, self._limits.keep_alive / 4, self._limits.read_timeout / 4)
        while True:
            await asyncio.sleep(pause)
            self._end_overdue(asyncio.get_running_loop().time())

    def _end_overdue(self, now: float) -> None:
        """Apart from the sweep, which would keep the last connection it saw while it sleeps."""
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

    def _has_room(self, place: str) -> bool:
        full = len(self._live) >= self._limits.max_connections
        if full and not self._full:  # said once, not for each one refused
            log.warning("listener %r has %d connections: full", self._endpoint.listener.name, len(self._live))
        self._full = full
        most = self._limits.max_per_address
        return not full and (most is None or self._of_address[place] < most)

    def _left(self, place: str, task: asyncio.Task[None]) -> None:
        del self._live[task]
        self._of_address[place] -= 1
        if not self._of_address[place]:
            del self._of_address[place]

    async def _converse(self, client: socket.socket, place: str) -> None:
        try:
            reader, writer = await self._open(client, place)
        except OSError as error:  # ssl.SSLError and TimeoutError are OSErrors
            reason = getattr(error, "reason", "") or str(error)
            log.info("listener %r: no connection: %s", self._endpoint.listener.name, reason)
            return
        serial = _serial(writer)
        same = self._of_certificate.setdefault(serial, set()) if serial else set()
        if len(same) == self._limits.max_per_certificate:
            log.info(
                "listener %r: certificate %s has %d connections",
                self._endpoint.listener.name,
                serial,
                len(same),
            )
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # for the type checker: this coroutine only runs as a task
        self._live[task] = connection = Connection(self._shared, reader, writer)
        same.add(connection)
        try:
            await connection.run()
        finally:
            same.remove(connection)
            if serial and not same:
                del self._of_certificate[serial]

    async def _open(
        self, client: socket.socket, place: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            if self._tls is None:
                return await _connected(client)
            async with self._turns.turn(client, place):
                with alerting(client):
                    return await _connected(
                        client,
                        ssl=self._tls,
                        ssl_handshake_timeout=_HANDSHAKE,
                        ssl_shutdown_timeout=_SHUTDOWN,
                    )
        except BaseException:  # cancellation, too
            client.close()
            raise


async def _connected(client: socket.socket, **tls: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, client, **tls)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def _serial(writer: asyncio.StreamWriter) -> str:
    """The client certificate's, as lower-case hex; empty without one."""
    tls: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
    shown = tls.getpeercert() if tls else None
    return str(shown["serialNumber"]).lower().lstrip("0") if shown else ""
