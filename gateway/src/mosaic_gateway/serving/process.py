"""The process around a server: its event loop and its signals."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` to its end: on uvloop where there is one, else on asyncio."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415  # absent on Windows
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


@contextmanager
def stop_event() -> Iterator[asyncio.Event]:
    """Give an event that SIGTERM and SIGINT set. A second SIGINT ends the process at once.

    To be entered in the main thread, inside a running loop; restores the signal handlers.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, _die)
        loop.call_soon_threadsafe(stop.set)

    # signal.signal, not loop.add_signal_handler: it is there on Windows, and works while the loop is blocked.
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _die(number: int, _frame: FrameType | None) -> None:
    """Die by the signal, so that a shell sees why."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
