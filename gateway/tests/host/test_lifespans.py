"""What plugins keep running: bounded, named, and alone in its failing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from mosaic_gateway.plugins import kept_up, lifespans
from mosaic_hookspecs.errors import ConfigError, Unavailable


class Life:
    """A lifespan that does as it is told, and notes when it was left."""

    def __init__(self, *, start: str = "", end: str = "") -> None:
        self.start, self.end, self.left = start, end, False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        await self._do(self.start)
        yield
        self.left = True
        await self._do(self.end)

    async def _do(self, what: str) -> None:
        if what == "raise":
            raise RuntimeError("boom")
        if what == "refuse":
            raise Unavailable("nothing answers", remedy="start it")
        if what == "hang":
            await asyncio.Event().wait()
        if what == "hang for ever":  # whoever cancels it
            done = False
            while not done:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    done = asyncio.current_task() is None or bool(stubborn.get("give up"))


stubborn: dict[str, bool] = {}


async def entered(*lives: Life) -> None:
    async with AsyncExitStack() as stack:
        for number, life in enumerate(lives):
            name = f"p{number}"
            await stack.enter_async_context(kept_up(f"plugin {name!r}: its lifespan", name, life.open()))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(lifespans, "START", 0.5)
    monkeypatch.setattr(lifespans, "END", 0.5)
    stubborn.clear()
    yield
    stubborn["give up"] = True


@pytest.mark.parametrize(
    ("start", "kind", "why"),
    [
        ("raise", ConfigError, "plugin 'p1': its lifespan raised RuntimeError: boom"),
        ("refuse", Unavailable, "plugin 'p1': its lifespan: nothing answers"),
        ("hang", Unavailable, "plugin 'p1': its lifespan did not start within 0.5 s"),
        ("hang for ever", Unavailable, "plugin 'p1': its lifespan did not start within 0.5 s"),
    ],
)
@pytest.mark.usefixtures("impatient")
async def test_a_lifespan_that_does_not_start_refuses_the_boot_and_leaves_what_was_entered(
    start: str, kind: type[Exception], why: str
) -> None:
    before = Life()
    with pytest.raises(kind) as caught:
        await entered(before, Life(start=start))
    assert caught.value.detail == why  # type: ignore[attr-defined]
    assert caught.value.remedy  # type: ignore[attr-defined]
    assert before.left
    stubborn["give up"] = True
    await _end_others()


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ("raise", "plugin 'p1': its lifespan failed as it ended"),
        ("hang", "plugin 'p1': its lifespan did not end within 0.5 s"),
        ("hang for ever", "plugin 'p1': its lifespan did not end within 0.5 s"),
    ],
)
@pytest.mark.usefixtures("impatient")
async def test_a_lifespan_that_does_not_end_is_named_and_the_others_end(
    end: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    first, odd, last = Life(), Life(end=end), Life()
    await entered(first, odd, last)
    assert [life.left for life in (first, odd, last)] == [True, True, True]
    assert why in caplog.text
    stubborn["give up"] = True
    await _end_others()


async def _end_others() -> None:
    """What would not be cancelled has been told to give up."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=5)


async def test_a_lifespan_that_ends_by_itself_is_named(caplog: pytest.LogCaptureFixture) -> None:
    @asynccontextmanager
    async def failing() -> AsyncIterator[None]:
        async def fail() -> None:
            raise RuntimeError("boom")

        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            yield

    told = asyncio.Event()
    handler = logging.Handler()
    handler.emit = lambda record: told.set()  # type: ignore[method-assign]
    logger = logging.getLogger("mosaic.plugins")
    logger.addHandler(handler)
    try:
        async with kept_up("plugin 'odd': its lifespan", "odd", failing()):
            await told.wait()
    finally:
        logger.removeHandler(handler)
    assert "plugin 'odd': its lifespan ended while the gateway runs" in caplog.text
