"""Tokens kept near: what was taken back is refused at once here, and in other processes as soon as they hear."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta
from types import SimpleNamespace

import pytest

from mosaic_gateway.identity import Identities, known
from mosaic_gateway.sealing import Keyring, Keys
from mosaic_hookspecs.errors import Unauthenticated, Unavailable
from mosaic_hookspecs.testing.queues import until
from mosaic_tier_local.cache import MemoryCache


class Counting:
    """A database that counts what is asked of it."""

    def __init__(self, pool):
        self.asked = 0
        self._pool = pool

    def __getattr__(self, name):
        self.asked += 1
        return getattr(self._pool, name)


@pytest.fixture
async def processes(pool):
    """Two workers of one gateway, each with its own cache."""
    async with AsyncExitStack() as stack:
        workers, keyring = [], Keyring(Keys.new())
        for _ in range(2):
            cache = MemoryCache(SimpleNamespace(database=pool))
            await stack.enter_async_context(cache.open())
            workers.append(Identities(Counting(pool), cache, keyring))
        await workers[0].add_user("ada", admin=True)
        yield workers


async def accepted(identities, secret):
    try:
        return (await identities.authenticate(secret)).username == "ada"
    except Unauthenticated:
        return False


async def test_a_token_in_use_costs_one_look_a_second(processes):
    worker, _ = processes
    made = await worker.create_token("ada", name="laptop", expires_in=None)
    await worker.authenticate(made.secret)
    await until(lambda: worker._known._cache._kept.get(f"token:{made.prefix}") is None)
    await worker.authenticate(made.secret)
    before = worker._db.asked
    for _ in range(100):
        user = await worker.authenticate(made.secret)
    assert (user.username, user.admin, worker._db.asked - before) == ("ada", True, 0)


@pytest.mark.parametrize("how", ["revoke", "disable"])
async def test_what_is_taken_back_is_refused_everywhere(processes, how, monkeypatch):
    monkeypatch.setattr(known, "KEPT", 600)  # so that only word of it can be the reason
    here, there = processes
    made = await here.create_token("ada", name="laptop", expires_in=timedelta(days=1))
    for worker in processes:
        assert await accepted(worker, made.secret)
    await (here.revoke_token(made.prefix) if how == "revoke" else here.disable_user("ADA"))
    assert not await accepted(here, made.secret)

    async def refused_there():
        return not await accepted(there, made.secret)

    await until(refused_there)


async def test_a_kept_token_still_proves_its_secret_and_still_expires(processes, pool):
    worker, _ = processes
    made = await worker.create_token("ada", name="laptop", expires_in=timedelta(seconds=1.5))
    assert await accepted(worker, made.secret)
    assert not await accepted(worker, made.secret[:-1] + ("A" if made.secret[-1] != "A" else "B"))

    async def refused():
        return not await accepted(worker, made.secret)

    await until(refused)


async def test_a_revocation_stands_although_nobody_could_be_told(processes, monkeypatch):
    here, there = processes

    async def away(*_):
        raise Unavailable("away")

    made = await here.create_token("ada", name="laptop", expires_in=None)
    assert await accepted(there, made.secret)
    monkeypatch.setattr(here._known._cache, "forget", away)
    assert (await here.revoke_token(made.prefix)).revoked_at

    async def refused_there():
        return not await accepted(there, made.secret)

    await until(refused_there)
