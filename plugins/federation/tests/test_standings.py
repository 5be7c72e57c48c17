"""What the gate keeps of a grant, and how soon it forgets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from mosaic_federation import standings
from mosaic_federation.standings import standing_of
from mosaic_hookspecs.errors import Unavailable


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  # it is the world that changes, and tells nobody
            await asyncio.sleep(0.002)


async def kept(world: Any) -> Any:
    """A grant that is kept, for good as far as the clock goes."""
    grant_id, _ = await world.enrolled()
    here = standings._open[world.pool]
    await standing_of(world.host, grant_id)
    await until(lambda: here._hearing)
    await standing_of(world.host, grant_id)
    assert here.kept(grant_id) is not None
    return grant_id, lambda: here.kept(grant_id) is None


@pytest.fixture(autouse=True)
def for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time does nothing here: only news make the gate forget."""
    monkeypatch.setattr(standings, "KEPT", 3600.0)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE federation_grants SET scope = scope WHERE id = $1",
        "UPDATE federation_grants SET status = 'revoked', revoked_at = now() WHERE id = $1",
        "UPDATE federation_certificates SET ended_at = now() WHERE grant_id = $1",
        "DELETE FROM federation_certificates WHERE grant_id = $1",
        "UPDATE users SET disabled_at = now() WHERE id = (SELECT subject_id FROM federation_grants WHERE id = $1)",
    ],
)
async def test_any_change_of_grant_certificate_or_subject_is_heard(world: Any, change: str) -> None:
    grant_id, forgotten = await kept(world)
    await world.pool.execute(change, grant_id)
    await until(forgotten)


async def test_a_change_of_another_grant_forgets_nothing(world: Any) -> None:
    _, forgotten = await kept(world)
    other, _ = await world.enrolled()
    here = standings._open[world.pool]
    before = here._news
    await world.pool.execute("UPDATE federation_grants SET scope = scope WHERE id = $1", other)
    await until(lambda: here._news > before)
    assert not forgotten()


async def test_nothing_is_kept_while_nothing_is_heard(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    grant_id, forgotten = await kept(world)

    @asynccontextmanager
    async def deaf(_channel: str) -> Any:
        raise Unavailable("on purpose")
        yield

    monkeypatch.setattr(type(world.pool), "listen", lambda _self, channel: deaf(channel))
    listening = "query ILIKE 'listen %federation_grants%'"
    end = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {listening}"  # ours
    assert await world.pool.fetchval(end) == 1
    await until(forgotten)
    assert await standing_of(world.host, grant_id) is not None
    assert forgotten(), "it kept what it cannot hear the end of"


async def test_what_was_read_before_the_news_is_not_kept(world: Any) -> None:
    grant_id, forgotten = await kept(world)
    here = standings._open[world.pool]
    reading = asyncio.create_task(here.read(grant_id))
    await asyncio.sleep(0)  # it asks
    here._forget(str(grant_id))
    assert await reading is not None
    assert forgotten()


async def test_unheard_it_lasts_a_second(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standings, "KEPT", 1.0)
    now = 1000.0
    monkeypatch.setattr(standings, "time", SimpleNamespace(monotonic=lambda: now))
    _, forgotten = await kept(world)
    now += 0.99
    assert not forgotten()
    now += 0.02
    assert forgotten()


async def test_news_that_are_none_do_not_end_the_listening(world: Any) -> None:
    """Whoever may connect to the database may send some."""
    grant_id, forgotten = await kept(world)
    await world.pool.execute("NOTIFY federation_grants, 'x'")
    await until(forgotten)
    here = standings._open[world.pool]
    await until(lambda: here._hearing)
    await standing_of(world.host, grant_id)
    assert not forgotten()
