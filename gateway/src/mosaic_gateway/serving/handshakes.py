"""Turns at TLS handshakes: their cryptography may take its share of the process, and no more."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

_BURST = 1.0  # seconds: as many handshakes as in this time may come at once


class Turns:
    """So many at once, a quarter of them with one address, and so many in a second.

    Who waits costs a socket and no cryptography, and who says nothing costs nobody a turn.
    """

    def __init__(self, at_once: int, rate: float, *, patience: float) -> None:
        self._room = asyncio.Semaphore(at_once)
        self._share = max(1, at_once // 4)
        self._of_address: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._pace = 1 / rate
        self._due = 0.0
        self._patience = patience

    @asynccontextmanager
    async def turn(self, client: socket.socket, address: str) -> AsyncIterator[None]:
        """Wait for one and have it while entered. Raises TimeoutError after ``patience`` seconds."""
        own = self._of_address.setdefault(address, asyncio.Semaphore(self._share))
        async with AsyncExitStack() as held:
            async with asyncio.timeout(self._patience):
                await _spoken(client)
                await held.enter_async_context(own)
                await self._paced()
                await held.enter_async_context(self._room)
            yield

    async def _paced(self) -> None:
        now = asyncio.get_running_loop().time()
        due = max(self._due + self._pace, now - _BURST)
        if due - now > self._patience:
            raise TimeoutError("too many handshakes: no turn in time")
        self._due = due
        if due > now:
            await asyncio.sleep(due - now)


async def _spoken(client: socket.socket) -> None:
    """Wait for the client's first bytes, or its end."""
    loop = asyncio.get_running_loop()
    spoken = asyncio.Event()
    loop.add_reader(client, spoken.set)
    try:
        await spoken.wait()
    finally:
        loop.remove_reader(client)
