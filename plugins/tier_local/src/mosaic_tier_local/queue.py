"""Jobs in a table of the embedded Postgres: they outlive the gateway, and any of its workers takes them.

A table, not memory: a restart must lose nothing. Workers look once a second, a few small queries on indexes.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from mosaic_hookspecs.errors import ConfigError, NotFound, Unavailable
from mosaic_hookspecs.jobs import JobFailed, perform
from mosaic_hookspecs.metrics import JOBS_WAITING
from mosaic_hookspecs.protocols import Host, Queries
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import FailedJob, Job

log = logging.getLogger("mosaic.jobs")

LANES = 2  # jobs at a time, per process
POLL = 1.0  # seconds
LEAVE = 10.0  # seconds that running jobs have to finish

_sql = load_queries("mosaic_tier_local", "queue.sql")


class PostgresQueue:
    """Implements :class:`mosaic_hookspecs.protocols.Queue`."""

    name = "postgres"

    def __init__(self, host: Host) -> None:
        self._host = host

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Nothing to do: the host's database is up already."""
        self._host.metrics.ask(JOBS_WAITING, self._waiting)
        yield

    async def _waiting(self) -> float:
        return float(await self._host.database.fetchval(_sql.waiting))

    async def enqueue(self, job: Job, data: Mapping[str, Any] | None = None, *, delay: float = 0) -> str:
        """Add a row."""
        return await _add(self._host.database, job, data or {}, delay)

    async def failed(self) -> list[FailedJob]:
        """Rows without attempts left."""
        return [FailedJob(**row) for row in await self._host.database.fetch(_sql.failed)]

    async def retry(self, job_id: str) -> None:
        """Make a failed row due again."""
        if await self._host.database.fetchval(_sql.retry, job_id) is None:
            raise NotFound(f"there is no failed job {job_id!r}", remedy="mosaic jobs list --failed")

    @asynccontextmanager
    async def work(self, jobs: Sequence[Job]) -> AsyncIterator[None]:
        """Run due rows, and add one for each schedule whose time has come."""
        by_name = {job.name: job for job in jobs}
        await self._keep_schedules(jobs)
        stop = asyncio.Event()
        lanes = [asyncio.create_task(self._lane(by_name, stop)) for _ in range(LANES)]
        try:
            yield
        finally:
            stop.set()
            _, late = await asyncio.wait(lanes, timeout=LEAVE)
            for lane in late:
                lane.cancel()  # its job is taken again once its time is over
            await asyncio.gather(*lanes, return_exceptions=True)

    async def _keep_schedules(self, jobs: Sequence[Job]) -> None:
        scheduled = [(job.name, float(job.every)) for job in jobs if job.every is not None]
        async with self._host.database.transaction() as sql:
            await sql.execute(_sql.unschedule_others, [name for name, _ in scheduled])
            await sql.executemany(_sql.schedule, sorted(scheduled))
            await sql.execute(_sql.forget_failed)

    async def _lane(self, jobs: Mapping[str, Job], stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                worked = await self._work_once(jobs)
            except Unavailable as error:
                log.warning("jobs wait: %s", error.detail)
                worked = False
            except Exception:
                log.exception("a job could not be taken or put back")
                worked = False
            if not worked:
                await _sleep(POLL, stop)

    async def _work_once(self, jobs: Mapping[str, Job]) -> bool:
        """Run one due job; False if there was none."""
        database = self._host.database
        async with database.transaction() as sql:
            for due in await sql.fetch(_sql.due_schedules, list(jobs)):
                await _add(sql, jobs[due["name"]], {}, 0)
            await sql.execute(_sql.bury)
        row = await database.fetchrow(_sql.claim)
        if row is None:
            return False
        try:
            await perform(jobs, row["name"], json.loads(row["data"]))
        except JobFailed as failure:
            await database.execute(_sql.attempt_failed, row["id"], row["attempt"], str(failure))
        else:
            await database.execute(_sql.done, row["id"], row["attempt"])
        return True


async def _add(sql: Queries, job: Job, data: Mapping[str, Any], delay: float) -> str:
    how = (job.attempts, job.backoff, job.timeout, delay)
    return str(await sql.fetchval(_sql.enqueue, job.name, json.dumps(dict(data)), *how))


async def _sleep(seconds: float, stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass


def own_queue(host: Host) -> PostgresQueue:
    """The queue, unless the config says where another would be. Raises :class:`ConfigError`."""
    target = host.queue_target
    if target.type == PostgresQueue.name and (target.url or target.password_file):
        raise ConfigError(
            "queue: the queue in the gateway's own database takes neither url nor password_file",
            remedy="take them out of the config, or set queue.type to the queue they are meant for",
        )
    return PostgresQueue(host)
