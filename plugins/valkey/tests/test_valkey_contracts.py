"""The plugin's queue, cache and limiter pass what every implementation has to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from mosaic_hookspecs.testing import CacheContract, LimiterContract, QueueContract
from mosaic_valkey.cache import ValkeyCache
from mosaic_valkey.limiter import ValkeyLimiter
from mosaic_valkey.queue import BullMQQueue

Make = Callable[[], AbstractAsyncContextManager[Any]]


def opened(kind: Callable[[Any], Any], host: Any) -> Make:
    @asynccontextmanager
    async def make() -> AsyncIterator[Any]:
        thing = kind(host)
        async with thing.open():
            yield thing

    return make


class TestQueue(QueueContract):
    @pytest.fixture
    def make(self, host: Any) -> Make:
        return opened(BullMQQueue, host)


class TestCache(CacheContract):
    @pytest.fixture
    def make(self, host: Any) -> Make:
        return opened(ValkeyCache, host)


class TestLimiter(LimiterContract):
    @pytest.fixture
    def make(self, host: Any) -> Make:
        return opened(ValkeyLimiter, host)
