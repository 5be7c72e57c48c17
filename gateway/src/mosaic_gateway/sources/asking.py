"""All sources at once, and one deadline: none can hold up or bring down another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from mosaic_gateway.sources.report import Outcome, answered, failed, too_late
from mosaic_hookspecs.sources import SourcePage

K = TypeVar("K")

_GRACE = 0.2  # seconds, for a source that falls back on what it has kept


async def ask_all(
    questions: Mapping[K, Callable[[], Awaitable[SourcePage]]], within: float
) -> dict[K, Outcome]:
    """The outcome of each question, at the latest ``within`` seconds and a moment from now."""
    if not questions:
        return {}
    tasks = {key: asyncio.create_task(_outcome(str(key), work)) for key, work in questions.items()}
    try:
        await asyncio.wait(tasks.values(), timeout=within + _GRACE)
        return {key: task.result() if task.done() else too_late(within) for key, task in tasks.items()}
    finally:
        for task in tasks.values():
            task.cancel()


async def _outcome(name: str, work: Callable[[], Awaitable[SourcePage]]) -> Outcome:
    start = time.perf_counter()
    try:
        page = await work()
    except Exception as error:
        return failed(name, error, time.perf_counter() - start)
    return answered(page, time.perf_counter() - start)
