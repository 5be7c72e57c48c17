"""What plugins keep running: bounded when it starts and when it ends, and blamed by name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from mosaic_hookspecs.errors import ConfigError, MosaicError, Unavailable

log = logging.getLogger("mosaic.plugins")

START = 60.0  # seconds; some load a model, or ask an authority
END = 10.0  # seconds


@asynccontextmanager
async def kept_up(
    whose: str, name: str, lifespan: AbstractAsyncContextManager[object]
) -> AsyncIterator[None]:
    """Enter ``lifespan`` and leave it again. Errors say ``whose`` it is, as in ``plugin 'x': its lifespan``.

    It has a task of its own, from entering to leaving: so it can be left alone if it will not be cancelled.
    ``name``, such as ``x``, is what a :class:`MosaicError` need not be given if it says it already.

    Raises what it raises on entry if that is a :class:`MosaicError`, :class:`ConfigError` for anything else, and
    :class:`Unavailable` if it takes more than :data:`START` seconds. What it does on leaving is logged and changes
    nothing: others want to leave, too.
    """
    up, leave = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        async with lifespan:
            up.set()
            await leave.wait()

    task = asyncio.create_task(run(), name=whose)
    waiting = asyncio.create_task(up.wait())
    try:
        await asyncio.wait({task, waiting}, timeout=START, return_when=asyncio.FIRST_COMPLETED)
        if not up.is_set():
            _refuse(whose, name, task)
        task.add_done_callback(lambda _: _report(whose, task, early=not leave.is_set()))
        yield
    finally:
        waiting.cancel()
        leave.set()
        if not up.is_set():
            task.cancel()
        await asyncio.wait({task}, timeout=END)
        if not task.done():
            log.error("%s did not end within %g s", whose, END)
            task.cancel()


def _refuse(whose: str, name: str, task: asyncio.Task[None]) -> None:
    if not task.done():
        raise Unavailable(
            f"{whose} did not start within {START:g} s",
            remedy="look at what the plugin stands on; if that is well, report it to the plugin's author",
        )
    error = None if task.cancelled() else task.exception()
    if isinstance(error, MosaicError):
        if name not in str(error):
            error.detail = f"{whose}: {error.detail}"
        raise error
    raise ConfigError(
        f"{whose} raised {type(error).__name__}: {error}" if error else f"{whose} was cancelled from within",
        remedy="report it to the plugin's author, or take the plugin out of the config",
    ) from error


def _report(whose: str, task: asyncio.Task[None], *, early: bool) -> None:
    error = None if task.cancelled() else task.exception()
    if early:
        log.error("%s ended while the gateway runs", whose, exc_info=error)
    elif error:
        log.error("%s failed as it ended", whose, exc_info=error)
