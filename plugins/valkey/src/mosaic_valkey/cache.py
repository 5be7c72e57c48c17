"""Values in Valkey, and near in each process until Valkey says that they changed (CLIENT TRACKING over RESP3).

A forgotten key holds an empty value for some seconds: what was loaded before cannot be stored over it (SET … NX),
neither here nor in another process. Everything near is dropped with the connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.nearby import Kept, Subscribers
from mosaic_hookspecs.protocols import Host
from mosaic_valkey.line import Line
from mosaic_valkey.server import server_of
from mosaic_valkey.wire import Wire, ask

_FORGOTTEN = 5.0  # seconds that a key stays empty; what takes longer to load is not stored


class ValkeyCache:
    """Implements :class:`mosaic_hookspecs.protocols.Cache`."""

    name = "valkey"

    def __init__(self, host: Host) -> None:
        self._line = Line(
            lambda: server_of(host), heard=self._heard, greet=self._greet, dropped=self._dropped
        )
        self._kept = Kept()
        self._subscribers = Subscribers()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Be connected."""
        async with self._line.open():
            yield

    async def get(self, key: str, load: Callable[[], Awaitable[bytes | None]], *, ttl: float) -> bytes | None:
        """From memory, else from Valkey, else loaded and stored in both."""
        found = self._kept.get(key)
        if found is not None:
            return found
        since, started, place = self._kept.news, time.monotonic(), self._place(key)
        try:
            stored, left = await self._fetch(place)
        except Unavailable:
            return await load()
        if stored:
            self._kept.put(key, stored, min(ttl, left), since=since)
            return stored
        value = await load()
        in_time = time.monotonic() - started < _FORGOTTEN / 2
        if value and stored is None and in_time and await self._store(place, value, ttl):
            self._kept.put(key, value, ttl, since=since)
        return value

    async def forget(self, *keys: str) -> None:
        """Empty the keys, which Valkey tells everyone who has read them."""
        self._kept.forget(*keys)
        life = round(_FORGOTTEN * 1000)
        try:
            await asyncio.gather(*(self._line.ask("SET", self._place(key), b"", "PX", life) for key in keys))
        finally:
            self._kept.forget(*keys)  # again: one may have been read just before it was emptied

    async def publish(self, channel: str, message: str) -> None:
        """Back to this process too."""
        await self._line.ask("PUBLISH", self._channel(channel), message)

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[AsyncIterator[str | None]]:
        """Messages that reach this process."""
        ours = self._channel(channel)
        async with self._subscribers.subscribe(channel) as messages:
            with suppress(Unavailable):  # else it is subscribed once there is a connection
                (await self._line.connected()).tell("SUBSCRIBE", ours)
                await self._line.ask("PING")  # on the same connection: by now it is subscribed
            yield messages
        if channel not in self._subscribers.channels and self._line.wire is not None:
            self._line.wire.tell("UNSUBSCRIBE", ours)

    async def _fetch(self, place: str) -> tuple[bytes | None, float]:
        """The value and the seconds it has left; reading it is what has the server track it."""
        value, left = await asyncio.gather(self._line.ask("GET", place), self._line.ask("PTTL", place))
        return value, left / 1000

    async def _store(self, place: str, value: bytes, ttl: float) -> bool:
        try:
            done = await self._line.ask("SET", place, value, "PX", max(1, round(ttl * 1000)), "NX")
        except Unavailable:
            return False
        return done is not None

    async def _greet(self, wire: Wire) -> None:
        server = self._line.server
        await ask(wire, server, "CLIENT", "TRACKING", "ON", "NOLOOP")
        for channel in self._subscribers.channels:
            wire.tell("SUBSCRIBE", self._channel(channel))

    def _heard(self, push: list[Any]) -> None:
        kind = push[0]
        if kind == b"invalidate":
            keys = push[1]
            if keys is None:  # the server was flushed
                self._kept.clear()
            else:
                skip = len(self._place(""))
                self._kept.forget(*(key.decode()[skip:] for key in keys))
        elif kind == b"message":
            skip = len(self._channel(""))
            self._subscribers.tell(push[1].decode()[skip:], push[2].decode(errors="replace"))

    def _dropped(self) -> None:
        self._kept.clear()
        self._subscribers.missed()

    def _place(self, key: str) -> str:
        return f"{self._line.server.prefix}:cache:{key}"

    def _channel(self, channel: str) -> str:
        return f"{self._line.server.prefix}:channel:{channel}"
