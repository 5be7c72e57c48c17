"""The local tier's queue, cache and limiter pass what every implementation has to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from mosaic_gateway.database import Pool, open_pool
from mosaic_gateway.metrics.counts import Counts
from mosaic_hookspecs.testing import CacheContract, LimiterContract, QueueContract
from mosaic_hookspecs.testing.caches import Source
from mosaic_hookspecs.testing.queues import Data, Seen, until
from mosaic_hookspecs.types import DatabaseLocation, Job, MigrationSet, Rate
from mosaic_migrations import CORE
from mosaic_tier_local.cache import MemoryCache
from mosaic_tier_local.limiter import MemoryLimiter
from mosaic_tier_local.plugin import mosaic_migrations
from mosaic_tier_local.queue import PostgresQueue

Make = Callable[[], AbstractAsyncContextManager[Any]]


@pytest.fixture
def migration_sets() -> list[MigrationSet]:
    return [CORE, *mosaic_migrations()]


def over(pool: Pool, kind: Callable[[Any], Any]) -> Make:
    @asynccontextmanager
    async def make() -> AsyncIterator[Any]:
        thing = kind(SimpleNamespace(database=pool, metrics=Counts()))
        async with thing.open():
            yield thing

    return make


class TestQueue(QueueContract):
    @pytest.fixture
    def make(self, pool: Pool) -> Make:
        return over(pool, PostgresQueue)


class TestCache(CacheContract):
    @pytest.fixture
    def make(self, pool: Pool) -> Make:
        return over(pool, MemoryCache)


class TestLimiter(LimiterContract):
    @pytest.fixture
    def make(self) -> Make:
        return over(None, lambda _: MemoryLimiter())  # type: ignore[arg-type]


async def test_a_job_of_a_worker_that_died_is_run_again_and_a_deadly_one_is_buried(pool: Pool) -> None:
    """A worker that dies leaves its claim behind: the row with an attempt begun and nothing after it."""
    seen = Seen()
    job = seen.job(attempts=2)
    async with over(pool, PostgresQueue)() as queue:
        for attempt in (1, 2):
            job_id = await queue.enqueue(job, {"attempt": attempt})
            await pool.execute("UPDATE local_jobs SET attempt = $1 WHERE id::text = $2", attempt, job_id)
        async with queue.work([job]):
            await until(queue.failed)
            await until(lambda: seen)
        (failed,) = await queue.failed()
    assert (failed.id, failed.error) == (job_id, "the process that ran it died")
    assert seen == [{"attempt": 1}]


async def test_what_is_still_running_long_after_the_stop_is_left_to_the_next_worker(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mosaic_tier_local.queue.LEAVE", 0.1)
    started = asyncio.Event()

    async def long(_: Data) -> None:
        started.set()
        await asyncio.sleep(60)

    async with over(pool, PostgresQueue)() as queue:
        job = Job("contract.long", long)
        async with queue.work([job]):
            await queue.enqueue(job)
            await started.wait()
        assert await pool.fetchval("SELECT attempt FROM local_jobs") == 1
        assert await queue.failed() == []


async def test_nothing_is_kept_while_others_cannot_be_heard(
    new_database: Any, migration_sets: list[MigrationSet]
) -> None:
    location: DatabaseLocation = await new_database(migration_sets)
    source = Source()
    async with open_pool(location) as pool, over(pool, MemoryCache)() as cache:
        await cache.get("a", source.load, ttl=60)
        async with cache.subscribe("news") as heard:
            await pool.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
            )
            assert await asyncio.wait_for(anext(heard), 30) is None
            source.value = b"two"
            assert await cache.get("a", source.load, ttl=60) == b"two"

            async def kept_again() -> bool:
                before = source.asked
                await cache.get("b", source.load, ttl=60)
                return source.asked == before

            await until(kept_again)
            await cache.publish("news", "back")
            while (message := await asyncio.wait_for(anext(heard), 30)) is None:
                pass
            assert message == "back"


async def test_a_limiter_forgets_who_asked_longest_ago_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mosaic_hookspecs.gcra._MOST", 10)
    limiter, rate = MemoryLimiter(), Rate("few", limit=1, period=60)
    assert (await limiter.take("first", rate)).allowed
    for number in range(10):
        await limiter.take(str(number), rate)
    assert (await limiter.take("first", rate)).allowed
    assert not (await limiter.take("9", rate)).allowed
