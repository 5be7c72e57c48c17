"""Questions under way: the same is asked once, no peer takes more than its share, and of a peer's no user."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable
from uuid import UUID

from mosaic_federation.peers import Peer
from mosaic_federation.turnstile import Full, Turnstile
from mosaic_hookspecs.errors import TooMany

_WAITING = 32  # questions to one peer, and before those of one user
_PATIENCE = 10.0  # seconds in the line
_LATE = 0.5  # seconds for a peer that has let a deadline pass, and has not answered since


class Flights:
    """A question goes on when whoever asked has left: its answer is kept for the next one who asks."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[bytes]] = {}  # past the line of whoever asked first
        self._in_line: dict[tuple[UUID | None, Hashable], asyncio.Task[bytes]] = {}
        self._turnstile = Turnstile(_WAITING, _PATIENCE)
        self._late: dict[UUID, float] = {}  # the longest time that passed in vain, by peer

    def time_for(self, peer: Peer, within: float | None) -> float | None:
        """Seconds to wait for an answer: ``within``, unless the peer has let as many pass since it last answered.

        Then half a second, so that one that hangs holds nobody up again and again. Its questions go on meanwhile, and
        whatever it answers gives it all the time again.
        """
        return within if within is None or within > self._late.get(peer.id, 0.0) else min(within, _LATE)

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

        Half of those at most are ``user``'s, and their others wait in a line of their own: nobody else waits in it,
        even for the same answer.

        Raises :class:`TimeoutError` after ``within`` seconds, :class:`TooMany` if the line is full, and what
        ``work`` raises.
        """
        task = self._under_way.get(key) or self._in_line.get((user, key))
        if task is None:
            task = asyncio.create_task(self._in_turn(peer, key, user, work, most))
            self._in_line[user, key] = task
            task.add_done_callback(lambda done: self._landed(peer, key, user, done))
        try:
            async with asyncio.timeout(within):
                return await asyncio.shield(task)
        except TimeoutError:
            if key in self._under_way:  # and not in the user's own line, which is no fault of the peer's
                self._late[peer.id] = max(within or 0.0, self._late.get(peer.id, 0.0))
            raise
        finally:
            del task  # its error's trace holds this frame, which would keep both, and the user's request

    def keep_only(self, peers: Collection[UUID]) -> None:
        """Forget what is known of every other peer."""
        self._late = {peer: seconds for peer, seconds in self._late.items() if peer in peers}

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = {*self._under_way.values(), *self._in_line.values()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _in_turn(
        self, peer: Peer, key: Hashable, user: UUID | None, work: Callable[[], Awaitable[bytes]], most: int
    ) -> bytes:
        half = max(1, most // 2) if user else most
        try:
            async with self._turnstile.one((peer.id, user), half):
                ahead = self._under_way.get(key)
                if ahead is not None:
                    return await asyncio.shield(ahead)
                self._under_way[key] = self._in_line[user, key]
                async with self._turnstile.one(peer.id, most):
                    return await work()
        except Full:
            raise TooMany(f"too many questions wait for peer {peer.name!r} already") from None

    def _landed(self, peer: Peer, key: Hashable, user: UUID | None, task: asyncio.Task[bytes]) -> None:
        del self._in_line[user, key]
        if self._under_way.get(key) is task:
            del self._under_way[key]
        if not task.cancelled() and task.exception() is None:  # seen, also if whoever asked has left
            self._late.pop(peer.id, None)
