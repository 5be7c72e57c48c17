"""A cache in memory, one per process, kept true by NOTIFY: commands and other workers are heard as well."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.nearby import Kept, Subscribers
from mosaic_hookspecs.protocols import Host

log = logging.getLogger("mosaic.tier_local")

_CHANNEL = "mosaic_local"  # of Postgres; ours are the first line of a message on it
_FORGET = "cache.forget"
_KEYS_AT_ONCE = 50  # a message of Postgres has at most 8,000 bytes
_AGAIN = 1.0  # seconds before listening is tried again


class MemoryCache:
    """Implements :class:`mosaic_hookspecs.protocols.Cache`. Keeps nothing while it cannot hear the others."""

    name = "memory"

    def __init__(self, host: Host) -> None:
        self._host = host
        self._kept = Kept()
        self._subscribers = Subscribers()
        self._hearing = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Listen for as long as entered."""
        task = asyncio.create_task(self._keep_listening())
        hearing = asyncio.create_task(self._hearing.wait())
        try:
            await asyncio.wait({task, hearing}, timeout=5, return_when=asyncio.FIRST_COMPLETED)
            yield
        finally:
            hearing.cancel()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def get(self, key: str, load: Callable[[], Awaitable[bytes | None]], *, ttl: float) -> bytes | None:
        """From memory, else loaded."""
        found = self._kept.get(key)
        if found is not None:
            return found
        since, hearing = self._kept.news, self._hearing.is_set()
        value = await load()
        if value is not None and hearing:
            self._kept.put(key, value, ttl, since=since)
        return value

    async def forget(self, *keys: str) -> None:
        """Here at once, elsewhere when the message comes."""
        self._kept.forget(*keys)
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            await self.publish(_FORGET, "\n".join(keys[start : start + _KEYS_AT_ONCE]))

    async def publish(self, channel: str, message: str) -> None:
        """Through Postgres, back to this process too."""
        await self._host.database.execute("SELECT pg_notify($1, $2)", _CHANNEL, f"{channel}\n{message}")

    def subscribe(self, channel: str) -> AbstractAsyncContextManager[AsyncIterator[str | None]]:
        """Messages that reach this process."""
        return self._subscribers.subscribe(channel)

    async def _keep_listening(self) -> None:
        while True:
            try:
                async with self._host.database.listen(_CHANNEL) as messages:
                    self._kept.clear()
                    self._hearing.set()
                    async for message in messages:
                        self._heard(*message.split("\n", 1))
            except Unavailable as error:
                log.warning("nothing is cached for now: %s", error.detail)
            finally:
                self._hearing.clear()
                self._kept.clear()
                self._subscribers.missed()
            await asyncio.sleep(_AGAIN)

    def _heard(self, channel: str, message: str) -> None:
        if channel == _FORGET:
            self._kept.forget(*message.split("\n"))
        self._subscribers.tell(channel, message)
