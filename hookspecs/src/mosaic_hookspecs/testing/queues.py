"""What every queue has to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from time import monotonic
from typing import Any

import pytest

from mosaic_hookspecs.errors import Conflict, NotFound
from mosaic_hookspecs.protocols import Queue
from mosaic_hookspecs.types import Job

Make = Callable[[], AbstractAsyncContextManager[Queue]]
Data = Mapping[str, Any]
PATIENCE = 20.0  # seconds


class Seen(list[Data]):
    """What a job was run with; the job itself comes from :meth:`job`."""

    def job(self, name: str = "contract.note", *, then: Callable[[], None] = lambda: None, **how: Any) -> Job:
        """A job that writes down its data, and then does ``then``."""

        async def run(data: Data) -> None:
            self.append(data)
            then()

        return Job(name, run, **{"backoff": 0.05, "timeout": 5.0, **how})


async def until(condition: Callable[[], Awaitable[Any] | Any], within: float = PATIENCE) -> None:
    """Wait until ``condition`` holds."""
    end = monotonic() + within
    while True:
        held = condition()
        if await held if isinstance(held, Awaitable) else held:
            return
        assert monotonic() < end, f"not so within {within:g} s"
        await asyncio.sleep(0.02)


def refuse() -> None:
    """Fail as a job does that knows why."""
    raise Conflict("the shelf is full")


def explode() -> None:
    """Fail as a job does that does not."""
    raise RuntimeError("secret=42")


class QueueContract:
    """Inherit from this and give it a fixture ``make``."""

    async def test_a_job_runs_once_with_its_data(self, make: Make) -> None:
        seen = Seen()
        async with make() as queue, queue.work([job := seen.job()]):
            await queue.enqueue(job, {"text": "ü", "numbers": [1, None]})
            await until(lambda: seen)
            await asyncio.sleep(0.3)
        assert seen == [{"text": "ü", "numbers": [1, None]}]

    async def test_a_job_outlives_the_process_that_asked_for_it(self, make: Make) -> None:
        seen = Seen()
        job = seen.job()
        async with make() as queue:
            await queue.enqueue(job)
        async with make() as queue, queue.work([job]):
            await until(lambda: seen)
        assert seen == [{}]

    async def test_a_job_waits_for_its_delay(self, make: Make) -> None:
        seen = Seen()
        async with make() as queue, queue.work([job := seen.job()]):
            start = monotonic()
            await queue.enqueue(job, delay=1.5)
            await until(lambda: seen)
        assert monotonic() - start >= 1.4

    async def test_two_workers_share_jobs_without_running_one_twice(self, make: Make) -> None:
        seen = Seen()
        job = seen.job()
        async with make() as one, make() as two, one.work([job]), two.work([job]):
            for number in range(20):
                await one.enqueue(job, {"number": number})
            await until(lambda: len(seen) >= 20)
            await asyncio.sleep(0.3)
        assert sorted(data["number"] for data in seen) == list(range(20))

    async def test_a_failing_job_is_tried_again_after_growing_waits(self, make: Make) -> None:
        times: list[float] = []

        async def run(_: Data) -> None:
            times.append(monotonic())
            if len(times) < 3:
                explode()

        async with make() as queue, queue.work([job := Job("contract.flaky", run, backoff=0.5)]):
            await queue.enqueue(job)
            await until(lambda: len(times) == 3)
            await asyncio.sleep(0.3)
            assert await queue.failed() == []
        assert times[1] - times[0] >= 0.45
        assert times[2] - times[1] >= 0.9

    async def test_a_job_without_attempts_left_is_shown_with_its_reason(self, make: Make) -> None:
        seen = Seen()
        async with make() as queue, queue.work([job := seen.job(attempts=2, then=refuse)]):
            job_id = await queue.enqueue(job)
            await until(queue.failed)
            (failed,) = await queue.failed()
        assert (failed.id, failed.job, failed.attempts) == (job_id, "contract.note", 2)
        assert failed.error == "the shelf is full"

    async def test_the_text_of_an_unexpected_error_is_not_shown(self, make: Make) -> None:
        async with make() as queue, queue.work([job := Seen().job(attempts=1, then=explode)]):
            await queue.enqueue(job)
            await until(queue.failed)
            (failed,) = await queue.failed()
        assert failed.error == "RuntimeError"

    async def test_a_job_that_takes_too_long_fails(self, make: Make) -> None:
        async def sleep(_: Data) -> None:
            await asyncio.sleep(60)

        async with make() as queue, queue.work([job := Job("contract.slow", sleep, attempts=1, timeout=0.3)]):
            await queue.enqueue(job)
            await until(queue.failed)
            (failed,) = await queue.failed()
        assert "longer than 0.3 s" in failed.error

    async def test_a_failed_job_can_be_given_all_its_attempts_anew(self, make: Make) -> None:
        seen = Seen()
        job = seen.job(attempts=2, then=refuse)
        async with make() as queue, queue.work([job]):
            job_id = await queue.enqueue(job)
            await until(queue.failed)
            await queue.retry(job_id)
            await until(lambda: len(seen) == 4)
            await until(queue.failed)
            (failed,) = await queue.failed()
        assert (failed.id, failed.attempts) == (job_id, 2)

    async def test_only_a_failed_job_can_be_retried(self, make: Make) -> None:
        async with make() as queue:
            waiting = await queue.enqueue(Seen().job())
            for job_id in (waiting, "999999", "no-such-job"):
                with pytest.raises(NotFound):
                    await queue.retry(job_id)

    async def test_of_all_workers_one_runs_a_schedule_each_time(self, make: Make) -> None:
        seen = Seen()
        job = seen.job(every=1.0)
        async with make() as one, make() as two, one.work([job]), two.work([job]):
            await until(lambda: len(seen) >= 3)
            await asyncio.sleep(0.3)
            assert len(seen) <= 4

    async def test_a_schedule_that_is_no_longer_offered_ends(self, make: Make) -> None:
        seen = Seen()
        job = seen.job(every=0.5)
        async with make() as queue, queue.work([job]):
            await until(lambda: seen)
        async with make() as queue, queue.work([replace(job, every=None)]):
            await asyncio.sleep(1.0)  # what was due already may still run
            before = len(seen)
            await asyncio.sleep(1.5)
        assert len(seen) == before
