"""Code of plugins that must come back: what is imported, and what hooks do, is bounded in time and blamed by name."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

from mosaic_hookspecs.errors import ConfigError

T = TypeVar("T")

PATIENCE = 30.0  # seconds for one import or one hook; both only register, and a busy machine is slow


class _Watch:
    """What is being done in the watched thread, and since when."""

    doing: tuple[str, float] | None = None


_watch: ContextVar[_Watch | None] = ContextVar("watch", default=None)


def doing(what: str) -> None:
    """Say what begins now, as in ``plugin 'x': mosaic_probes``; empty for nothing. Costs next to nothing."""
    if watch := _watch.get():
        watch.doing = (what, time.monotonic()) if what else None


def watched(work: Callable[[], T]) -> T:
    """Return what ``work`` returns, or raise what it raises.

    Raises :class:`ConfigError`, naming what was begun with :func:`doing`, when that takes more than
    :data:`PATIENCE` seconds. It is done in a thread, since nothing else can be left alone while it blocks; the
    thread that will not end does not keep the process.
    """
    if _watch.get():
        return work()
    watch, done, outcome = _Watch(), threading.Event(), dict[str, Any]()

    def run() -> None:
        _watch.set(watch)
        try:
            outcome["value"] = work()
        except BaseException as error:
            outcome["error"] = error
        finally:
            done.set()

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="composing", daemon=True).start()
    while not done.wait(_left(watch, PATIENCE)):
        if stuck := _stuck(watch, PATIENCE):
            raise ConfigError(
                f"{stuck} did not come back within {PATIENCE:g} s",
                remedy="it must register and return, and wait for nothing: report it to the plugin's author, or take "
                "the plugin out of the config",
            )
    if "error" in outcome:
        raise outcome["error"]
    value: T = outcome["value"]
    return value


@contextmanager
def guarded(stuck: Callable[[str], object], patience: float) -> Iterator[None]:
    """Call ``stuck``, from another thread, with what was begun here and does not give way within ``patience`` seconds.

    For an event loop: while something blocks it, nothing within it can say so. The outermost guard is the one.
    """
    if _watch.get():
        yield
        return
    watch, done = _Watch(), threading.Event()

    def look() -> None:
        while not done.wait(_left(watch, patience)):
            if what := _stuck(watch, patience):
                stuck(what)
                return

    before = _watch.set(watch)
    threading.Thread(target=look, name="guard", daemon=True).start()
    try:
        yield
    finally:
        done.set()
        _watch.reset(before)


class Steps:
    """Await ``work``, saying with :func:`doing` what it is whenever it runs, and not while it waits."""

    def __init__(self, what: str, work: Coroutine[Any, Any, Any]) -> None:
        self._what = what
        self._work = work

    def __await__(self) -> Generator[Any, Any, Any]:
        step = partial(self._work.send, None)
        while True:
            doing(self._what)
            try:
                waits_for = step()
            except StopIteration as end:
                return end.value
            finally:
                doing("")
            try:
                given = yield waits_for
            except BaseException as error:
                step = partial(self._work.throw, error)
            else:
                step = partial(self._work.send, given)


def _stuck(watch: _Watch, patience: float) -> str:
    now = watch.doing
    return now[0] if now and time.monotonic() - now[1] >= patience else ""


def _left(watch: _Watch, patience: float) -> float:
    now = watch.doing
    return max(0.0, patience - (time.monotonic() - now[1])) if now else patience
