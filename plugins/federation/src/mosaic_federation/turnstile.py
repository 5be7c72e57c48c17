"""At most so many at once for each key; the next ones wait in line, and the line is bounded.

By hand: a semaphore of asyncio has one limit for ever, no bound on who waits, and is never forgotten.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field


class Full(Exception):
    """Nobody of the ``most`` left in time, or too many were waiting already."""

    def __init__(self, turnstile: Turnstile, most: int) -> None:
        super().__init__()
        self.turnstile = turnstile
        self.most = most


@dataclass(slots=True)
class _Line:
    inside: int = 0
    waiting: deque[tuple[asyncio.Future[None], int]] = field(default_factory=deque)


class Turnstile:
    """``waiting`` at most stand in each line, ``patience`` seconds at most."""

    def __init__(self, waiting: int, patience: float) -> None:
        self._waiting = waiting
        self._patience = patience
        self._lines: dict[Hashable, _Line] = {}

    def one(self, key: Hashable, most: int) -> _Place:
        """Be one of ``most`` at once for ``key``, in the order of coming. Entering raises :class:`Full`."""
        return _Place(self, key, most)

    async def enter(self, key: Hashable, most: int) -> None:
        """Begin to be one of them; whoever has entered must :meth:`leave`. Raises :class:`Full`."""
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line()
        if line.inside < most and not line.waiting:
            line.inside += 1
        else:
            await self._turn(key, line, most)

    def leave(self, key: Hashable) -> None:
        """Let the next one in."""
        line = self._lines[key]
        line.inside -= 1
        self._go_on(key, line)

    async def _turn(self, key: Hashable, line: _Line, most: int) -> None:
        if len(line.waiting) >= self._waiting:
            raise Full(self, most)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.waiting.append((turn, most))
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except TimeoutError:
            self._give_up(key, line, turn, most)
            raise Full(self, most) from None
        except BaseException:  # whoever asked is gone
            self._give_up(key, line, turn, most)
            raise

    def _give_up(self, key: Hashable, line: _Line, turn: asyncio.Future[None], most: int) -> None:
        if turn.cancelled():
            line.waiting.remove((turn, most))
        else:  # called in at this very moment
            line.inside -= 1
        self._go_on(key, line)

    def _go_on(self, key: Hashable, line: _Line) -> None:
        """Let the next ones in, and forget a line that nobody stands in."""
        _call(line)
        if not line.inside and not line.waiting:
            del self._lines[key]


class _Place:
    """By hand: the context manager of a generator costs 5 µs, at each request."""

    __slots__ = ("_key", "_most", "_turnstile")

    def __init__(self, turnstile: Turnstile, key: Hashable, most: int) -> None:
        self._turnstile = turnstile
        self._key = key
        self._most = most

    async def __aenter__(self) -> None:
        await self._turnstile.enter(self._key, self._most)

    async def __aexit__(self, *_: object) -> None:
        self._turnstile.leave(self._key)


def _call(line: _Line) -> None:
    """Let those in who come next, as far as there is room for them."""
    while line.waiting and line.inside < line.waiting[0][1]:
        turn, _ = line.waiting[0]
        if turn.cancelled():  # and about to leave the line by itself
            return
        line.waiting.popleft()
        turn.set_result(None)
        line.inside += 1
