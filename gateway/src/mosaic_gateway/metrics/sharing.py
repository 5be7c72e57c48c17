"""Bringing together what several processes have counted: each writes its numbers to a file once a second.

The files are in a directory that only the parent of the workers makes, and removes at its end. The numbers of a
worker that died stay in the sums, so that a counter never falls; its gauges do not.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from mosaic_gateway.metrics.counts import Counts, Found
from mosaic_hookspecs.errors import MosaicError
from mosaic_hookspecs.metrics import Metric

_ENVIRONMENT = (
    "_MOSAIC_METRICS_DIRECTORY"  # told by the parent to its workers; no setting, hence the underscore
)
_EVERY = 1.0  # seconds
_PATIENCE = 2.0  # seconds for a gauge that has to be asked for


@contextmanager
def shared_directory() -> Iterator[None]:
    """Give the workers that are started meanwhile a place (0700) to write to."""
    with tempfile.TemporaryDirectory(prefix="mosaic-metrics-", ignore_cleanup_errors=True) as directory:
        os.environ[_ENVIRONMENT] = directory
        try:
            yield
        finally:
            del os.environ[_ENVIRONMENT]


class Figures:
    """What this process has counted, and the others of the same gateway."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        told = os.environ.get(_ENVIRONMENT)
        self._directory = Path(told) if told else None

    @asynccontextmanager
    async def kept_written(self) -> AsyncIterator[None]:
        """Write this process's numbers for the others, until left, and a last time then."""
        task = asyncio.create_task(self._write_on())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            self._write()

    async def found(self) -> list[Found]:
        """Every metric, of all processes."""
        found = {each.name: each for each in self._counts.found()}
        for other in self._of_others():
            found.setdefault(other.name, _empty(other)).take_in(other)
        for metric, read in list(self._counts.asked.items()):
            if (value := await _asked(read)) is not None:
                found[metric.name] = _gauge(metric, value)
        return sorted(found.values(), key=lambda each: each.name)

    async def _write_on(self) -> None:
        while self._directory:
            self._write()
            await asyncio.sleep(_EVERY)

    def _write(self) -> None:
        if self._directory is None:
            return
        file = self._directory / f"{os.getpid()}.json"
        new = file.with_suffix(".new")
        with suppress(OSError):  # a full disk makes figures old; it stops nothing
            new.write_text(json.dumps([each.plain() for each in self._counts.found()]))
            new.replace(file)

    def _of_others(self) -> Iterator[Found]:
        for file in self._directory.glob("*.json") if self._directory else ():
            if (process := int(file.stem)) == os.getpid():
                continue
            with suppress(OSError, ValueError):  # it is gone with its parent
                lives = _lives(process)
                every = [Found.read(each) for each in json.loads(file.read_text())]
                yield from (each for each in every if lives or each.kind != "gauge")


def _empty(found: Found) -> Found:
    return replace(found, series={})


def _gauge(metric: Metric, value: float) -> Found:
    found = Found.of(metric)
    found.series = {(): [value]}
    return found


async def _asked(read: Callable[[], Awaitable[float | None]]) -> float | None:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await read()
    except (MosaicError, OSError):  # TimeoutError, too: a part that is away has no figure
        return None


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True
