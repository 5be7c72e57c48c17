"""A limiter in memory, one count per process: with several workers a client may get as many times the limit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from mosaic_hookspecs.gcra import Counts
from mosaic_hookspecs.types import Decision, Rate


class MemoryLimiter:
    """Implements :class:`mosaic_hookspecs.protocols.Limiter`."""

    name = "memory"

    def __init__(self) -> None:
        self._counts = Counts()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Nothing to do."""
        yield

    async def take(self, key: str, rate: Rate) -> Decision:
        """Decide, and count the event if it is allowed."""
        return self._counts.take_all([(key, rate)])[0]

    async def take_all(self, wanted: Sequence[tuple[str, Rate]]) -> Sequence[Decision]:
        """The same for several at once."""
        return self._counts.take_all(wanted)
