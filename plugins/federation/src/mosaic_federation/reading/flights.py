"""Questions under way: the same is asked once, no peer takes more than its share, and of a peer's no user."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any
from uuid import UUID

from mosaic_federation.peers import Peer
from mosaic_federation.turnstile import Full, Turnstile
from mosaic_hookspecs.errors import TooMany

_WAITING = 32  # questions to one peer, and before those of one user
_PATIENCE = 10.0  # seconds in the line


class Flights:
    """A question goes on when whoever asked has left: its answer is kept for the next one who asks."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[bytes]] = {}
        self._turnstile = Turnstile(_WAITING, _PATIENCE)

    async def ask(
        self,
        peer: Peer,
        key: Hashable,
        work: Callable[[], Awaitable[bytes]],
        *,
        most: int,
        within: float | None,
        user: UUID | None = None,
    ) -> bytes:
        """The answer that is on its way already, else what ``work`` returns, one of ``most`` at once for the peer.

        Half of those at most are ``user``'s, and their others wait in a line of their own.

        Raises :class:`TimeoutError` after ``within`` seconds, :class:`TooMany` if the line is full, and what
        ``work`` raises.
        """
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._in_turn(peer, user, work, most))
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        async with asyncio.timeout(within):
            return await asyncio.shield(task)

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _in_turn(
        self, peer: Peer, user: UUID | None, work: Callable[[], Awaitable[bytes]], most: int
    ) -> bytes:
        half = max(1, most // 2) if user else most
        try:
            async with self._turnstile.one((peer.id, user), half), self._turnstile.one(peer.id, most):
                return await work()
        except Full:
            raise TooMany(f"too many questions wait for peer {peer.name!r} already") from None

    def _landed(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        self._under_way.pop(key, None)
        if not task.cancelled():
            task.exception()  # seen, also if whoever asked has left
