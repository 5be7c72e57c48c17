"""What every cache, and the pub/sub that keeps it true, has to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from mosaic_hookspecs.protocols import Cache
from mosaic_hookspecs.testing.queues import until

Make = Callable[[], AbstractAsyncContextManager[Cache]]


class Source:
    """Where values come from; counts how often it was asked."""

    def __init__(self, value: bytes | None = b"one") -> None:
        self.value = value
        self.asked = 0

    async def load(self) -> bytes | None:
        """The value as it is now."""
        self.asked += 1
        return self.value


class CacheContract:
    """Inherit from this and give it a fixture ``make``."""

    async def test_what_was_loaded_is_kept(self, make: Make) -> None:
        source = Source(b"\x00\xff")
        async with make() as cache:
            assert [await cache.get("a", source.load, ttl=60) for _ in range(3)] == [b"\x00\xff"] * 3
            assert source.asked == 1
            assert await cache.get("b", Source(b"two").load, ttl=60) == b"two"

    async def test_a_value_is_loaded_anew_when_its_time_is_over(self, make: Make) -> None:
        source = Source()
        async with make() as cache:
            await cache.get("a", source.load, ttl=0.2)
            source.value = b"two"
            await asyncio.sleep(0.3)
            assert await cache.get("a", source.load, ttl=0.2) == b"two"

    async def test_none_is_not_kept(self, make: Make) -> None:
        source = Source(None)
        async with make() as cache:
            assert await cache.get("a", source.load, ttl=60) is None
            source.value = b"two"
            assert await cache.get("a", source.load, ttl=60) == b"two"

    async def test_who_forgets_sees_what_is_new_at_once(self, make: Make) -> None:
        source = Source()
        async with make() as cache:
            await cache.get("a", source.load, ttl=60)
            source.value = b"two"
            await cache.forget("a", "never kept")
            assert await cache.get("a", source.load, ttl=60) == b"two"

    async def test_what_one_forgets_every_process_forgets(self, make: Make) -> None:
        source = Source()
        async with make() as one, make() as two:
            for cache in (one, two):
                assert await cache.get("a", source.load, ttl=60) == b"one"
            source.value = b"two"
            await one.forget("a")

            async def is_new() -> bool:
                return await two.get("a", source.load, ttl=60) == b"two"

            await until(is_new, within=1)

    async def test_what_was_loaded_before_the_news_is_not_kept_after_it(self, make: Make) -> None:
        source = Source()
        async with make() as one, make() as two:

            async def overtaken() -> bytes | None:
                before = await source.load()
                source.value = b"two"
                await two.forget("a")
                await asyncio.sleep(0.3)  # the news has come by now
                return before

            assert await one.get("a", overtaken, ttl=60) == b"one"
            for cache in (one, two):
                assert await cache.get("a", source.load, ttl=60) == b"two"

    async def test_a_failing_load_fails_its_asker_alone(self, make: Make) -> None:
        async def fail() -> bytes:
            raise LookupError

        async with make() as cache:
            try:
                await cache.get("a", fail, ttl=60)
            except LookupError:
                assert await cache.get("a", Source().load, ttl=60) == b"one"
            else:
                raise AssertionError("the error was lost")

    async def test_a_message_reaches_everyone_on_its_channel(self, make: Make) -> None:
        async with (
            make() as one,
            make() as two,
            one.subscribe("news") as here,
            two.subscribe("news") as there,
        ):
            await one.publish("other", "not for you")
            await one.publish("news", "Grüße")
            assert await asyncio.wait_for(anext(here), 2) == "Grüße"
            assert await asyncio.wait_for(anext(there), 2) == "Grüße"

    async def test_messages_come_in_the_order_they_were_sent(self, make: Make) -> None:
        async with make() as one, make() as two, two.subscribe("news") as heard:
            for number in range(100):
                await one.publish("news", str(number))
            got = [await asyncio.wait_for(anext(heard), 2) for _ in range(100)]
        assert got == [str(number) for number in range(100)]
