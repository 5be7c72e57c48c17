"""The queue on the BullMQ protocol, through its official Python package: the scripts are theirs, the waits are ours.

A worker renews the lock of what it runs; a job without a renewed lock goes to another worker. Dashboards and workers
of other languages that speak BullMQ can read this queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any

from bullmq import Queue as BullQueue
from bullmq import Worker
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from mosaic_hookspecs.errors import NotFound
from mosaic_hookspecs.jobs import perform
from mosaic_hookspecs.metrics import JOBS_WAITING
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import FailedJob, Job
from mosaic_valkey.server import PATIENCE, Server, explain, server_of
from mosaic_valkey.settings import Settings

log = logging.getLogger("mosaic.jobs")

_QUEUE = "jobs"
_LANES = 4  # jobs at a time, per process
_LEAVE = 10.0  # seconds that running jobs have to finish
_LOST_AT_MOST = 3  # how often a job may have lost its worker before it counts as failed
_PLAIN: dict[type[BaseException], BaseException] = {
    AuthenticationError: Exception("WRONGPASS"),
    BusyLoadingError: Exception("LOADING"),
    NoPermissionError: Exception("NOPERM"),
    ReadOnlyError: Exception("READONLY"),
    RedisTimeoutError: TimeoutError(),
}
_FAILED_KEPT = {"age": 30 * 24 * 3600, "count": 10_000}  # seconds, jobs
_UNDONE = ("wait", "paused", "prioritized", "delayed", "active")
_BLOCKING = 20.0  # seconds: a worker's wait for the next job, at most 10, must not look like silence


class BullMQQueue:
    """Implements :class:`mosaic_hookspecs.protocols.Queue`."""

    name = "bullmq"

    def __init__(self, host: Host) -> None:
        self._host = host

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Be ready to connect; the first command does."""
        self._server = server_of(self._host)
        client = _client(self._server, PATIENCE)
        self._queue = BullQueue(_QUEUE, self._options(client))
        self._host.metrics.ask(JOBS_WAITING, self._waiting)
        try:
            yield
        finally:
            await client.aclose()

    async def _waiting(self) -> float:
        with self._explained():
            return float(sum((await self._queue.getJobCounts(*_UNDONE)).values()))

    async def enqueue(self, job: Job, data: Mapping[str, Any] | None = None, *, delay: float = 0) -> str:
        """Add a job."""
        with self._explained():
            options = {**_options(job), "delay": round(delay * 1000)}
            added = await self._queue.add(job.name, dict(data or {}), options)
        return str(added.id)

    async def failed(self) -> list[FailedJob]:
        """Jobs without attempts left."""
        with self._explained():
            return [_failed(job) for job in await self._queue.getFailed()]

    async def retry(self, job_id: str) -> None:
        """Have a failed job wait again."""
        with self._explained():
            job = await self._queue.getJob(job_id)
            if job is None or await self._queue.getJobState(job_id) != "failed":
                raise NotFound(f"there is no failed job {job_id!r}", remedy="mosaic jobs list --failed")
            await job.retry("failed", {"resetAttemptsMade": True})

    @asynccontextmanager
    async def work(self, jobs: Sequence[Job]) -> AsyncIterator[None]:
        """Run jobs, and keep the schedules as they are offered now."""
        by_name = {job.name: job for job in jobs}

        async def process(job: Any, _token: str) -> None:
            await perform(by_name, job.name, job.data)

        with self._explained():
            await self._keep_schedules(jobs)
        client = _client(self._server, _BLOCKING)
        worker = Worker(_QUEUE, process, self._options(client) | self._worker_options())
        worker.on("error", self._warn)
        running = asyncio.create_task(self._run(worker))
        try:
            yield
        finally:
            await _leave(worker)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await client.aclose()

    async def _run(self, worker: Worker) -> None:
        """As long as it works: the package's own loop ends when Valkey is away as it starts."""
        while not worker.closing:
            try:
                await worker.run()
            except (RedisError, OSError) as error:
                self._warn(error)
            await asyncio.sleep(1)

    async def _keep_schedules(self, jobs: Sequence[Job]) -> None:
        scheduled = {job.name: job for job in jobs if job.every is not None}
        for known in await self._queue.getJobSchedulers():
            if known["key"] not in scheduled:
                await self._queue.removeJobScheduler(known["key"])
        for name, job in scheduled.items():
            every = {"every": round((job.every or 0) * 1000)}
            await self._queue.upsertJobScheduler(name, every, name, {}, _options(job))

    def _options(self, client: Redis) -> dict[str, Any]:
        return {"connection": client, "prefix": self._server.prefix}

    def _worker_options(self) -> dict[str, Any]:
        lost_after = round(self._host.settings(Settings).lost_after * 1000)
        return {
            "autorun": False,
            "concurrency": _LANES,
            "lockDuration": lost_after,
            "stalledInterval": lost_after,
            "maxStalledCount": _LOST_AT_MOST,
            "runRetryDelay": 1000,
        }

    def _warn(self, error: BaseException, _job: object = None) -> None:
        log.warning("jobs wait: %s", explain(_plain(error), self._server).detail)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, OSError) as error:
            raise explain(_plain(error), self._server) from None


def _plain(error: BaseException) -> BaseException:
    """redis-py's own errors have lost the code that the server sent."""
    for kind, plain in _PLAIN.items():
        if isinstance(error, kind):
            return plain
    return error


def _client(server: Server, patience: float) -> Redis:
    """A client that gives up soon; the package's own retries for minutes."""
    return Redis(
        host=server.host,
        port=server.port,
        unix_socket_path=server.path,
        db=server.database,
        username=server.username,
        password=server.password,
        ssl=server.tls,
        ssl_ca_certs=str(server.ca_file) if server.ca_file else None,
        socket_timeout=patience,
        socket_connect_timeout=PATIENCE,
        decode_responses=True,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 3),
    )


def _options(job: Job) -> dict[str, Any]:
    return {
        "attempts": job.attempts,
        "backoff": {"type": "exponential", "delay": round(job.backoff * 1000)},
        "removeOnComplete": True,
        "removeOnFail": _FAILED_KEPT,
        "stackTraceLimit": 0,  # a traceback may quote what nobody else should see
    }


def _failed(job: Any) -> FailedJob:
    at = datetime.fromtimestamp((job.finishedOn or 0) / 1000, UTC)
    return FailedJob(str(job.id), job.name, job.attemptsMade, job.failedReason or "", at)


async def _leave(worker: Worker) -> None:
    """Let running jobs finish. Waited for from outside: the package's close() cannot be cancelled."""
    closing = asyncio.ensure_future(worker.close())
    await asyncio.wait({closing}, timeout=_LEAVE if worker.jobs else _LEAVE / 10)
    if not closing.done():  # a long job, which another worker will take, or Valkey is away
        await asyncio.wait({asyncio.ensure_future(worker.close(force=True)), closing}, timeout=_LEAVE / 10)
