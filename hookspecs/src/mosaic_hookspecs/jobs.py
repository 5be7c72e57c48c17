"""How a queue runs one job: bounded in time, and with an error that may be shown to whoever asks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from mosaic_hookspecs.errors import MosaicError
from mosaic_hookspecs.types import Job

log = logging.getLogger("mosaic.jobs")


class JobFailed(Exception):
    """An attempt failed. Its text holds no more than :class:`MosaicError` allows."""


async def perform(jobs: Mapping[str, Job], name: str, data: Mapping[str, Any]) -> None:
    """Run one attempt. Raises :class:`JobFailed`; the traceback of an unexpected error goes to the log."""
    job = jobs.get(name)
    if job is None:
        raise JobFailed(f"no loaded plugin offers a job {name!r}")
    try:
        async with asyncio.timeout(job.timeout):
            await job.run(data)
    except MosaicError as error:
        raise JobFailed(error.detail) from None
    except TimeoutError:
        raise JobFailed(f"took longer than {job.timeout:g} s, or waited for something that did") from None
    except Exception as error:
        log.exception("job %s failed", name)
        raise JobFailed(type(error).__name__) from None
