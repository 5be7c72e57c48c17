"""What every limiter has to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from mosaic_hookspecs.protocols import Limiter
from mosaic_hookspecs.types import Rate

Make = Callable[[], AbstractAsyncContextManager[Limiter]]
SLOW = Rate("slow", limit=3, period=60)
QUICK = Rate("quick", limit=2, period=1)


class LimiterContract:
    """Inherit from this and give it a fixture ``make``."""

    async def test_up_to_the_limit_at_once_and_no_more(self, make: Make) -> None:
        async with make() as limiter:
            decisions = [await limiter.take("a", SLOW) for _ in range(5)]
        assert [d.allowed for d in decisions] == [True, True, True, False, False]
        assert [d.remaining for d in decisions] == [2, 1, 0, 0, 0]
        assert [d.retry_after for d in decisions[:3]] == [0, 0, 0]
        assert 15 < decisions[3].retry_after <= 20

    async def test_there_is_room_again_when_it_says_so(self, make: Make) -> None:
        async with make() as limiter:
            while (refused := await limiter.take("a", QUICK)).allowed:
                pass
            assert 0 < refused.retry_after <= 0.5
            await asyncio.sleep(refused.retry_after + 0.02)
            assert (await limiter.take("a", QUICK)).allowed
            assert not (await limiter.take("a", QUICK)).allowed

    async def test_a_refused_event_costs_nothing(self, make: Make) -> None:
        async with make() as limiter:
            for _ in range(50):
                refused = await limiter.take("a", QUICK)
            await asyncio.sleep(refused.retry_after + 0.02)
            assert (await limiter.take("a", QUICK)).allowed

    async def test_keys_and_rates_are_counted_apart(self, make: Make) -> None:
        async with make() as limiter:
            while (await limiter.take("a", SLOW)).allowed:
                pass
            assert (await limiter.take("b", SLOW)).remaining == 2
            assert (await limiter.take("a", QUICK)).remaining == 1

    async def test_askers_at_the_same_time_share_one_limit(self, make: Make) -> None:
        async with make() as limiter:
            decisions = await asyncio.gather(*(limiter.take("a", SLOW) for _ in range(40)))
        assert sum(d.allowed for d in decisions) == 3

    async def test_several_at_once_are_counted_all_or_none(self, make: Make) -> None:
        async with make() as limiter:
            while (await limiter.take("a", SLOW)).allowed:
                pass
            refused = await limiter.take_all([("a", QUICK), ("a", SLOW), ("b", SLOW)])
            assert [decision.allowed for decision in refused] == [True, False, True]
            assert [decision.remaining for decision in refused] == [2, 0, 3]
            assert 15 < refused[1].retry_after <= 20
            counted = await limiter.take_all([("b", SLOW), ("a", QUICK)])
            assert [(decision.allowed, decision.remaining) for decision in counted] == [(True, 2), (True, 1)]

    async def test_several_at_once_share_their_limits_with_others(self, make: Make) -> None:
        async with make() as limiter:
            wanted = [("a", SLOW), ("b", SLOW)]
            taken = await asyncio.gather(*(limiter.take_all(wanted) for _ in range(20)))
            assert sum(all(d.allowed for d in decisions) for decisions in taken) == 3
            assert not (await limiter.take("b", SLOW)).allowed
