"""Places and the line before them, against a plain model."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaic_federation.turnstile import Full, Turnstile


async def test_no_more_than_so_many_at_once_and_in_the_order_of_coming() -> None:
    turnstile, inside, seen, most = Turnstile(100, 60), 0, list[int](), 0

    async def one(number: int) -> None:
        nonlocal inside, most
        async with turnstile.one("a", 3):
            inside += 1
            most = max(most, inside)
            seen.append(number)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(one(number) for number in range(50)))
    assert (most, seen) == (3, list(range(50)))
    assert not turnstile._lines


async def test_who_finds_the_line_full_is_sent_away_at_once() -> None:
    turnstile = Turnstile(1, 60)
    async with turnstile.one("a", 1):
        waiting = asyncio.create_task(turnstile.one("a", 1).__aenter__())
        await asyncio.sleep(0)
        with pytest.raises(Full):
            await turnstile.one("a", 1).__aenter__()
        async with turnstile.one("b", 1):  # another's line is another's
            pass
    await waiting


async def test_who_has_waited_too_long_is_sent_away_and_takes_no_place() -> None:
    turnstile = Turnstile(5, 0.001)
    async with turnstile.one("a", 1):
        for _ in range(3):
            with pytest.raises(Full):
                await turnstile.one("a", 1).__aenter__()
    async with turnstile.one("a", 1):
        pass
    assert not turnstile._lines


async def test_a_limit_that_was_changed_holds_for_who_comes_from_then_on() -> None:
    turnstile = Turnstile(0, 60)
    async with turnstile.one("a", 1), turnstile.one("a", 2):
        with pytest.raises(Full):
            await turnstile.one("a", 1).__aenter__()


async def test_a_line_is_forgotten_when_its_last_one_is_called_in_and_gone_at_that_moment() -> None:
    turnstile = Turnstile(5, 60)
    async with turnstile.one("a", 1):
        waiting = asyncio.create_task(turnstile.one("a", 1).__aenter__())
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not turnstile._lines


@given(st.lists(st.sampled_from(["come", "leave", "cancel waiting", "leave and cancel"]), max_size=60))
def test_places_are_never_lost_and_never_too_many(steps: list[str]) -> None:
    async def run() -> None:
        turnstile, most = Turnstile(4, 60), 2
        inside: list[AsyncExitStack] = []
        waiting: list[asyncio.Task[None]] = []

        async def come(stack: AsyncExitStack) -> None:
            await stack.enter_async_context(turnstile.one("a", most))
            inside.append(stack)

        for step in steps:
            if step == "come":
                waiting.append(asyncio.create_task(come(AsyncExitStack())))
            if step.startswith("leave") and inside:
                await inside.pop(0).aclose()
            if step.endswith(("cancel", "waiting")) and waiting:
                waiting.pop(0).cancel()
            if step != "leave and cancel":  # there, who is called in is cancelled at that very moment
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            waiting = [task for task in waiting if not task.done()]
            assert len(inside) <= most
        for task in waiting:
            task.cancel()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError | None) for result in results)
        while inside:
            await inside.pop().aclose()
        async with turnstile.one("a", most), turnstile.one("a", most):
            pass
        assert not turnstile._lines

    asyncio.run(run())
