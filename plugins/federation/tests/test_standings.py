"""What the gate keeps of a grant, and how soon it forgets."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mosaic_federation import brief, standings
from mosaic_federation.keys import new_key, signing_request
from mosaic_federation.standings import standing_of
from mosaic_hookspecs.errors import Unavailable
from wrong_clock import wrong_clock


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  # it is the world that changes, and tells nobody
            await asyncio.sleep(0.002)


async def hear_all(world: Any) -> None:
    """Return once all that has changed so far is heard: news come in the order of commits, and the last is ours."""
    here, last = standings._open[world.pool], uuid4()
    here._kept.keep(last, Any, math.inf)
    await world.pool.execute("SELECT pg_notify('federation_grants', $1)", str(last))
    await until(lambda: here.kept(last) is None)


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
    await world.pool.execute("UPDATE federation_grants SET scope = scope WHERE id = $1", other)
    await hear_all(world)
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
    for module in (standings, brief):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
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


@pytest.fixture
def looked_up(world: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements about grants and certificates that the gate asked."""
    asked: list[str] = []
    for method in ("fetchrow", "fetchval"):
        ask = getattr(world.pool, method)

        async def noting(query: str, *args: Any, ask: Any = ask) -> Any:
            if "federation_certificates" in query:
                asked.append(query)
            return await ask(query, *args)

        monkeypatch.setattr(world.pool, method, noting)
    return asked


async def test_who_is_refused_costs_the_database_nothing_until_something_changes(
    world: Any, asker: Any, looked_up: list[str]
) -> None:
    await kept(world)
    ask = asker()
    grant_id, certificate = await world.enrolled()
    change = "UPDATE federation_grants SET status = $2::grant_status, revoked_at = $3 WHERE id = $1"
    await world.pool.execute(change, grant_id, "revoked", datetime.now(UTC))
    await hear_all(world)
    refused = await (await ask(certificate)).get_json()
    looked_up.clear()
    again = await (await ask(certificate)).get_json()
    assert (again["detail"], refused["detail"], looked_up) == (*["the grant was revoked"] * 2, [])
    rows = await world.pool.fetch("SELECT peer FROM federation_audit_log WHERE outcome = 'forbidden'")
    assert [row["peer"] for row in rows] == ["home", "home"]
    await world.pool.execute(change, grant_id, "active", None)
    await hear_all(world)
    assert (await ask(certificate)).status_code == 200


async def test_a_certificate_of_no_grant_is_looked_up_once_and_never_so_many_are_kept(
    world: Any, asker: Any, looked_up: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept(world)
    monkeypatch.setattr(brief, "_MOST", 2)
    issued = [
        await world.host.authority().issue_client(
            signing_request(new_key()),
            grant_id=uuid4(),
            subject_id=world.ada,
            oid_arc="1.3.6.1.4.1.99999",
            not_after=datetime.now(UTC) + timedelta(days=1),
        )
        for _ in range(3)
    ]
    certificates = [x509.load_pem_x509_certificate(each.chain).public_bytes(Encoding.DER) for each in issued]
    ask = asker()
    for certificate in certificates:
        for cost in (1, 0):
            looked_up.clear()
            assert (await ask(certificate)).status_code == 403
            assert bool(looked_up) == bool(cost)
    assert len(standings._open[world.pool]._refusals._kept) == 2


async def test_who_was_let_in_costs_the_database_nothing_and_is_let_in_no_longer_than_the_grant_lasts(
    world: Any, asker: Any, looked_up: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept(world)
    ask = asker()
    _, certificate = await world.enrolled(expires_at=datetime.now(UTC) + timedelta(hours=1))
    for cost in (1, 0):
        looked_up.clear()
        assert (await ask(certificate)).status_code == 200
        assert bool(looked_up) == bool(cost)
    for time, told in (
        (timedelta(minutes=59), ""),
        (timedelta(hours=1), "the grant has expired"),
        (timedelta(days=-1), "the certificate is not valid yet: the clocks differ"),
        (timedelta(0), ""),
    ):
        with monkeypatch.context() as patch:
            patch.setattr("mosaic_federation.reasons.datetime", wrong_clock(time))
            answer = await ask(certificate)
        assert (answer.status_code, (await answer.get_json()).get("detail", "")) == (
            403 if told else 200,
            told,
        )


async def test_who_was_let_in_is_forgotten_with_any_news(world: Any, asker: Any) -> None:
    await kept(world)
    ask = asker()
    grant_id, certificate = await world.enrolled()
    _, others = await world.enrolled()
    for each in (certificate, certificate, others, others):
        assert (await ask(each)).status_code == 200
    await world.pool.execute(
        "UPDATE federation_certificates SET ended_at = now() WHERE grant_id = $1", grant_id
    )
    await hear_all(world)
    assert [(await ask(each)).status_code for each in (certificate, others)] == [403, 200]


async def test_never_so_many_that_were_let_in_are_kept(
    world: Any, asker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept(world)
    monkeypatch.setattr(brief, "_MOST", 2)
    ask = asker()
    for _ in range(3):
        _, certificate = await world.enrolled()
        assert (await ask(certificate)).status_code == 200
    assert len(standings._open[world.pool]._admitted._kept) <= 2
