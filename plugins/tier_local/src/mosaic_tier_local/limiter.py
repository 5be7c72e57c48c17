"""GCRA in memory, one count per process: with several workers a client may get as many times the limit."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mosaic_hookspecs.types import Decision, Rate

_MOST = 100_000  # keys


class MemoryLimiter:
    """Implements :class:`mosaic_hookspecs.protocols.Limiter`."""

    name = "memory"

    def __init__(self) -> None:
        self._full_at: dict[tuple[str, str], float] = {}  # when all room will be back, monotonic seconds

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Nothing to do."""
        yield

    async def take(self, key: str, rate: Rate) -> Decision:
        """Decide, and count the event if it is allowed."""
        now, each = time.monotonic(), rate.period / rate.limit
        full_at = max(self._full_at.pop((rate.name, key), now), now)
        taken = full_at - now + each <= rate.period + 1e-9  # of floating point
        if taken:
            full_at += each
        self._full_at[rate.name, key] = full_at
        if len(self._full_at) > _MOST:
            del self._full_at[next(iter(self._full_at))]  # the one that asked longest ago
        return Decision(
            allowed=taken,
            remaining=max(0, int((rate.period - (full_at - now)) / each + 1e-6)),
            retry_after=0 if taken else full_at - now + each - rate.period,
        )
