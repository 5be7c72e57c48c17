"""A cache server that others can write to: what they put there lets nobody in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from mosaic_gateway.identity import Identities
from mosaic_gateway.sealing import Keyring, Keys
from mosaic_hookspecs.errors import Unauthenticated
from mosaic_hookspecs.types import QueueTarget
from mosaic_valkey.cache import ValkeyCache
from mosaic_valkey.settings import Settings


@pytest.fixture
async def pools(pool: Any, new_database: Callable[..., Awaitable[Any]], migration_sets: Any) -> Any:
    from mosaic_gateway.database import open_pool

    async with open_pool(await new_database(migration_sets)) as other:
        yield pool, other


@asynccontextmanager
async def gateway(pool: Any, url: str, keyring: Keyring) -> AsyncIterator[Identities]:
    """The users of a gateway called ``home``."""
    host = SimpleNamespace(
        gateway_name="home", queue_target=QueueTarget("bullmq", url), settings=lambda _: Settings()
    )
    cache = ValkeyCache(host)  # type: ignore[arg-type]  # as much of a Host as it looks at
    async with cache.open():
        yield Identities(pool, cache, keyring)


async def test_a_gateway_of_the_same_name_lets_nobody_into_another(pools: Any, redis_server: Any) -> None:
    async with (
        gateway(pools[0], redis_server.url, Keyring(Keys.new())) as theirs,
        gateway(pools[1], redis_server.url, Keyring(Keys.new())) as ours,
    ):
        await theirs.add_user("mallory", admin=True)
        made = await theirs.create_token("mallory", name="laptop", expires_in=None)
        assert (await theirs.authenticate(made.secret)).username == "mallory"
        with pytest.raises(Unauthenticated):
            await ours.authenticate(made.secret)


async def test_what_is_kept_under_another_name_lets_nobody_in(pools: Any, redis_server: Any) -> None:
    import redis.asyncio

    async with gateway(pools[0], redis_server.url, Keyring(Keys.new())) as ours:
        await ours.add_user("ada", admin=True)
        await ours.add_user("mallory")
        of_ada, of_mallory = [
            await ours.create_token(name, name="laptop", expires_in=None) for name in ("ada", "mallory")
        ]
        await ours.authenticate(of_ada.secret)
        client = redis.asyncio.Redis.from_url(redis_server.url)
        kept = await client.get(f"mosaic:home:cache:token:{of_ada.prefix}")
        assert kept
        assert b"ada" not in kept
        for forged in (kept, b"", b"[]", b"mosaic1", b'["00", ["0", "ada", true], "", null, false]'):
            await client.set(f"mosaic:home:cache:token:{of_mallory.prefix}", forged, ex=5)
            user = await ours.authenticate(of_mallory.secret)
            assert (user.username, user.admin) == ("mallory", False)
        await client.aclose()
