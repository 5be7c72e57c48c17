"""What caches have in common in a process: values kept near, and listeners to be told. No input, no output.

By hand: cachetools has no way to refuse a value that was loaded before the news that it is stale.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_WAITING = 1000  # messages a subscriber may be behind


class Kept:
    """Values by key until a time, at most ``limit`` of them; the oldest goes first."""

    def __init__(self, limit: int = 10_000) -> None:
        self._values: dict[str, tuple[float, bytes]] = {}
        self._limit = limit
        self.news = 0  # how often something was forgotten

    def get(self, key: str) -> bytes | None:
        """The value, unless its time is over."""
        until, value = self._values.get(key, (0.0, b""))
        return value if until > time.monotonic() else None

    def put(self, key: str, value: bytes, ttl: float, *, since: int) -> None:
        """Keep a value for ``ttl`` seconds, unless there was news since ``since``: it may be older than them."""
        if since != self.news:
            return
        self._values.pop(key, None)
        if len(self._values) >= self._limit:
            del self._values[next(iter(self._values))]
        self._values[key] = (time.monotonic() + ttl, value)

    def forget(self, *keys: str) -> None:
        """Drop values, and what is being loaded."""
        self.news += 1
        for key in keys:
            self._values.pop(key, None)

    def clear(self) -> None:
        """Drop every value."""
        self.news += 1
        self._values.clear()


class Subscribers:
    """Who listens to which channel in this process."""

    def __init__(self) -> None:
        self._inboxes: defaultdict[str, set[asyncio.Queue[str | None]]] = defaultdict(set)

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels that someone listens to."""
        return tuple(channel for channel, inboxes in self._inboxes.items() if inboxes)

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[AsyncIterator[str | None]]:
        """What :meth:`tell` and :meth:`missed` say from now on."""
        inbox: asyncio.Queue[str | None] = asyncio.Queue(_WAITING)
        self._inboxes[channel].add(inbox)
        try:
            yield _messages(inbox)
        finally:
            self._inboxes[channel].discard(inbox)

    def tell(self, channel: str, message: str) -> None:
        """Hand a message to everyone on the channel. Who is too far behind is told that it missed some."""
        for inbox in self._inboxes.get(channel, ()):
            _put(inbox, message)

    def missed(self) -> None:
        """Tell everyone that messages may have been lost."""
        for inboxes in self._inboxes.values():
            for inbox in inboxes:
                _put(inbox, None)


def _put(inbox: asyncio.Queue[str | None], message: str | None) -> None:
    if inbox.full():
        while not inbox.empty():
            inbox.get_nowait()
        message = None
    inbox.put_nowait(message)


async def _messages(inbox: asyncio.Queue[str | None]) -> AsyncIterator[str | None]:
    while True:
        yield await inbox.get()
