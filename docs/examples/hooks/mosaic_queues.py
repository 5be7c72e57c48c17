import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.errors import NotFound
from mosaic_hookspecs.protocols import Host, Queue
from mosaic_hookspecs.types import FailedJob, Job


class AtOnce:
    """Runs a job where it was asked for. Fit for a demonstration: no second attempt, no schedule, no restart."""

    name = "at_once"

    def __init__(self) -> None:
        self.ids = count(1)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        yield

    async def enqueue(self, job: Job, data: Mapping[str, Any] | None = None, *, delay: float = 0) -> str:
        await asyncio.sleep(delay)
        await job.run(data or {})
        return str(next(self.ids))

    @asynccontextmanager
    async def work(self, jobs: Sequence[Job]) -> AsyncIterator[None]:
        yield

    async def failed(self) -> list[FailedJob]:
        return []

    async def retry(self, job_id: str) -> None:
        raise NotFound(f"there is no failed job {job_id!r}")


@hookimpl
def mosaic_queues(host: Host) -> list[Queue]:
    return [AtOnce()]
