"""How much a peer may ask, through the listener's application: rates, places, refusals, and a limiter that is gone."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from mosaic_federation import gate
from mosaic_federation.grant_limits import GrantLimits
from mosaic_federation.limits import policy_of
from mosaic_federation.settings import PeerLimits
from mosaic_hookspecs.errors import Conflict, Invalid, Unavailable
from mosaic_hookspecs.testing.queues import until
from mosaic_hookspecs.types import Decision, QueueTarget, Rate
from mosaic_tier_local.limiter import MemoryLimiter
from mosaic_valkey.limiter import ValkeyLimiter
from mosaic_valkey.settings import Settings as ValkeySettings

Asker = Callable[..., Callable[..., Awaitable[Any]]]


class Gone(MemoryLimiter):
    """A limiter that comes and goes."""

    def __init__(self) -> None:
        super().__init__()
        self.gone = True

    async def take_all(self, wanted: Sequence[tuple[str, Rate]]) -> Sequence[Decision]:
        if self.gone:
            raise Unavailable("Valkey at 192.0.2.99:6379 refuses connections")
        return await super().take_all(wanted)


async def test_answers_say_how_much_is_left_and_refusals_which_limit_it_was(world: Any, asker: Asker) -> None:
    ask = asker(requests_per_grant=2)
    _, certificate = await world.enrolled()
    answers = [await ask(certificate) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    policy = '"grant";q=2;w=60, "peer";q=12000;w=60, "address";q=24000;w=60, "concurrency";q=8;qu="concurrent-requests"'
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {policy}
    assert re.fullmatch(r'"grant";r=1, "peer";r=\d+, "address";r=\d+', answers[0].headers["RateLimit"])
    refused = re.fullmatch(
        r'"grant";r=0;t=(\d+), "peer";r=\d+, "address";r=\d+', answers[2].headers["RateLimit"]
    )
    assert refused
    assert 1 <= int(refused[1]) <= 30
    assert answers[2].headers["Retry-After"] == refused[1]
    problem = await answers[2].get_json()
    assert problem["detail"] == "the grant's limit of 2 requests a minute is reached"
    assert problem["errors"] == [{"where": "limits.grant", "detail": "2 requests in 60 s"}]
    assert [row[2] for row in await world.audit()] == ["ok", "ok", "ok", "too-many"]
    row = await world.pool.fetchrow("SELECT * FROM federation_audit_log WHERE outcome = 'too-many'")
    assert (row["peer"], row["verb"], row["resource"]) == ("home", "list", "tasks")


async def test_a_refusal_of_a_row_has_the_headers_too(world: Any, asker: Asker) -> None:
    ask = asker()
    _, certificate = await world.enrolled()
    answer = await ask(certificate, "wikis")
    assert (answer.status_code, "RateLimit" in answer.headers) == (404, True)
    assert "RateLimit" not in (await ask(None)).headers


async def test_each_grant_peer_and_address_has_a_count_of_its_own(world: Any, asker: Asker) -> None:
    ask = asker(requests_per_grant=2, requests_per_peer=3, requests_per_address=4)
    (_, one), (_, other) = await world.enrolled(), await world.enrolled()
    assert [(await ask(one)).status_code for _ in range(3)] == [200, 200, 429]
    answers = [await ask(other) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]  # both are grants of home
    assert "of one peer" in (await answers[1].get_json())["detail"]


async def test_the_address_limit_holds_for_all_grants_and_spares_other_addresses(
    world: Any, asker: Asker
) -> None:
    ask = asker(requests_per_address=1)
    (_, one), (_, other) = await world.enrolled(), await world.enrolled()
    assert (await ask(one)).status_code == 200
    refused = await ask(other)
    assert (refused.status_code, "from one address" in (await refused.get_json())["detail"]) == (429, True)
    assert (await ask(other, address="2001:db8::1")).status_code == 200
    assert (await ask(other, address="2001:db8::2")).status_code == 429  # of the same network


async def test_a_refused_request_is_charged_to_nobody(world: Any, asker: Asker) -> None:
    ask = asker(requests_per_grant=1, requests_per_peer=2, requests_per_address=3)
    _, certificate = await world.enrolled()
    answers = [await ask(certificate) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 429, 429, 429]
    assert '"peer";r=1, "address";r=2' in answers[-1].headers["RateLimit"]


async def test_a_grants_own_limits_are_changed_while_it_is_in_use(world: Any, asker: Asker) -> None:
    ask = asker()
    grant_id, certificate = await world.enrolled()
    told = '"grant";q={};w=60, "peer";q=12000;w=60, "address";q=24000;w=60, "concurrency";q={};qu="concurrent-requests"'

    async def policy() -> str:
        return str((await ask(certificate)).headers["RateLimit-Policy"])

    async def update(**limits: int | None) -> Any:
        return await world.grants.update(grant_id, {}, actor="test", limits=GrantLimits.of(limits))

    assert await policy() == told.format(6000, 8)
    before = await world.grants.show(grant_id)
    changed = await update(requests_per_minute=100)
    assert await policy() == told.format(100, 8)
    assert (changed.version, changed.scope) == (before.version + 1, before.scope)
    await update(concurrency=2)
    assert await policy() == told.format(100, 2)
    await update(requests_per_minute=None)
    assert await policy() == told.format(6000, 2)
    assert (await world.grants.history(grant_id))[-1].change == "updated"


async def test_limits_can_be_changed_where_the_scope_can_no_longer_be_read(world: Any, asker: Asker) -> None:
    offer = await world.offer()
    await world.pool.execute("UPDATE federation_grants SET scope = '{\"new\": true}'")
    limits = GrantLimits(requests_per_minute=5)
    changed = await world.grants.update(offer.grant.id, {}, actor="test", limits=limits)
    assert changed.requests_per_minute == 5
    with pytest.raises(Invalid, match="scope"):
        await world.grants.update(offer.grant.id, {"personal": True}, actor="test", limits=limits)


async def test_limits_of_a_revoked_grant_are_not_changed(world: Any, asker: Asker) -> None:
    grant_id, _ = await world.enrolled()
    await world.grants.revoke(grant_id, actor="test")
    with pytest.raises(Conflict):
        await world.grants.update(grant_id, {}, actor="test", limits=GrantLimits(concurrency=1))


@pytest.mark.parametrize(
    "wrong", [{"concurrency": 0}, {"requests_per_minute": -1}, {"requests_per_minute": 10**9}]
)
def test_limits_that_cannot_be(wrong: dict[str, int]) -> None:
    with pytest.raises(Invalid) as caught:
        GrantLimits.of(wrong)
    assert [fault.where for fault in caught.value.faults] == list(wrong)


def held_up(world: Any, monkeypatch: Any, verb: str) -> tuple[asyncio.Semaphore, asyncio.Event]:
    """Rows are read only once the event is set; the semaphore is released for each who has begun to."""
    begun, go = asyncio.Semaphore(0), asyncio.Event()
    read = getattr(world.host.rows, verb)

    async def slowly(*what: Any) -> Any:
        begun.release()
        await go.wait()
        return await read(*what)

    monkeypatch.setattr(world.gateway.rows, verb, slowly)
    return begun, go


async def test_so_many_at_once_the_next_wait_and_more_are_refused(
    world: Any, asker: Asker, monkeypatch: Any
) -> None:
    ask = asker(concurrency=2, waiting=1, patience=30)
    _, certificate = await world.enrolled()
    reading, go = held_up(world, monkeypatch, "list")
    tasks = [asyncio.create_task(ask(certificate)) for _ in range(4)]
    await reading.acquire()
    await reading.acquire()
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    refused = await done.pop()
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert (await refused.get_json())["errors"][0]["where"] == "limits.concurrency"
    assert reading.locked()  # the third waits
    go.set()
    statuses = [answer.status_code for answer in await asyncio.gather(*tasks)]
    assert sorted(statuses) == [200, 200, 200, 429]
    assert sorted(row[2] for row in await world.audit()) == ["ok"] * 4 + ["too-many"]


async def test_a_grant_with_places_of_its_own_does_not_take_its_peers(
    world: Any, asker: Asker, monkeypatch: Any
) -> None:
    ask = asker(concurrency=1, waiting=0)
    (own, one), (_, other) = await world.enrolled(), await world.enrolled()
    await world.grants.update(own, {}, actor="test", limits=GrantLimits(concurrency=1))
    asked, nesting = list[Any](), asyncio.Event()
    list_rows = world.host.rows.list

    async def nested(*what: Any) -> Any:
        if not nesting.is_set():
            nesting.set()
            asked.append(await ask(other))
            asked.append(await ask(one))
        return await list_rows(*what)

    monkeypatch.setattr(world.gateway.rows, "list", nested)
    assert (await ask(one)).status_code == 200
    assert [answer.status_code for answer in asked] == [200, 429]


async def test_without_the_limiter_peers_are_refused_and_the_log_says_so_once(
    world: Any, asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    world.gateway.limiter = limiter = Gone()
    ask = asker()
    _, certificate = await world.enrolled()
    answers = [await ask(certificate) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503] * 3
    problem = await answers[0].get_json()
    assert "192.0.2.99" not in str(problem)
    assert problem["remedy"]
    assert answers[0].headers["Retry-After"]
    limiter.gone = False
    assert (await ask(certificate)).status_code == 200
    limiter.gone = True
    assert (await ask(certificate)).status_code == 503
    said = [record.getMessage() for record in caplog.records if record.name == "mosaic.federation"]
    assert ["refused" in line for line in said] == [True, False, True]
    assert "192.0.2.99" in said[0]
    assert [row[2] for row in await world.audit()][1:] == ["unavailable"] * 3 + ["ok", "unavailable"]


async def test_without_the_limiter_each_process_may_count_alone(
    world: Any, asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    world.gateway.limiter = Gone()
    ask = asker(requests_per_grant=2, when_unavailable="local")
    _, certificate = await world.enrolled()
    assert [(await ask(certificate)).status_code for _ in range(4)] == [200, 200, 429, 429]
    said = [record.getMessage() for record in caplog.records if record.name == "mosaic.federation"]
    assert ["in each process alone" in line for line in said] == [True]


async def test_those_that_no_grant_allows_cannot_fill_the_log(
    world: Any, asker: Asker, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mosaic_federation.strangers._TOLD_EVERY", 0.01)
    ask = asker(refusals_per_address=3)
    _, certificate = await world.enrolled()
    await world.pool.execute("UPDATE federation_grants SET status = 'expired'")
    with caplog.at_level(logging.WARNING, "mosaic.federation"):
        statuses = [(await ask(certificate)).status_code for _ in range(6)]
        await until(lambda: sum(told(caplog)) >= 3)
    assert statuses == [403, 403, 403, 429, 429, 429]
    assert (await ask(None, address="192.0.2.2")).status_code == 403
    assert [row[2] for row in await world.audit()] == ["ok"] + ["forbidden"] * 4
    assert sum(told(caplog)) == 3
    await world.pool.execute("UPDATE federation_grants SET status = 'active'")

    async def let_in() -> bool:
        return bool((await ask(certificate)).status_code == 200)

    await until(let_in)  # an address that has strangers behind it is not shut out; the news take a moment


async def test_who_asks_too_often_keeps_nobody_from_hearing_that_a_grant_has_ended(
    world: Any, asker: Asker
) -> None:
    ask = asker(requests_per_grant=1, refusals_per_address=1)
    _, busy = await world.enrolled()
    ended, other = await world.enrolled()
    assert [(await ask(busy)).status_code for _ in range(4)] == [200, 429, 429, 429]
    await world.pool.execute("UPDATE federation_grants SET status = 'expired' WHERE id = $1", ended)
    assert (await ask(other)).status_code == 403


def told(caplog: pytest.LogCaptureFixture) -> list[int]:
    """How many requests each warning says are not on record."""
    return [int(line.split()[0]) for line in caplog.messages if "are not in the audit log" in line]


def test_one_policy_for_a_grant_without_limits_of_its_own() -> None:
    settings = PeerLimits(requests_per_grant=7, concurrency=3)
    policy = policy_of(settings, None, None)
    assert [rate.limit for rate in policy.rates] == [7, 12_000, 24_000]
    assert policy.concurrency == 3


async def test_all_replicas_count_together_in_valkey_and_refuse_while_it_is_gone(
    world: Any, asker: Asker, new_redis: Any
) -> None:
    server = new_redis()
    target, settings = QueueTarget("bullmq", server.url), ValkeySettings(prefix="test")
    host = SimpleNamespace(gateway_name="work", queue_target=target, settings=lambda _: settings)
    _, certificate = await world.enrolled()
    with server.running() as process:
        async with AsyncExitStack() as stack:
            limiters = [ValkeyLimiter(host) for _ in range(2)]
            for limiter in limiters:
                await stack.enter_async_context(limiter.open())
            replicas = [asker(requests_per_grant=3) for _ in limiters]
            statuses = []
            for turn in range(5):
                world.gateway.limiter = limiters[turn % 2]
                statuses.append((await replicas[turn % 2](certificate)).status_code)
            assert statuses == [200, 200, 200, 429, 429]
            lenient = asker(requests_per_grant=1, when_unavailable="local")
            process.kill()
            process.wait()
            assert (await replicas[0](certificate)).status_code == 503
            assert [(await lenient(certificate)).status_code for _ in range(2)] == [200, 429]


async def test_who_had_to_wait_is_answered_by_the_grant_as_it_is_then(
    world: Any, asker: Asker, monkeypatch: Any
) -> None:
    monkeypatch.setattr(gate, "_LONG", -1)  # whoever waits at all has waited long
    ask = asker(concurrency=1, waiting=2, patience=30)
    ada = await world.host.identity.user("ada")
    await world.host.rows.create(ada, "tasks", b'{"title": "a title", "body": "hidden"}')
    (narrowed, one), (revoked, other) = await world.enrolled(), await world.enrolled()
    counted, take_all = asyncio.Semaphore(0), world.gateway.limiter.take_all
    _, go = held_up(world, monkeypatch, "list")

    async def counting(wanted: Any) -> Any:
        counted.release()
        return await take_all(wanted)

    monkeypatch.setattr(world.gateway.limiter, "take_all", counting)
    first = asyncio.create_task(ask(other))
    await counted.acquire()
    waiting = [asyncio.create_task(ask(each)) for each in (one, other)]
    await counted.acquire()
    await counted.acquire()
    await world.grants.update(narrowed, {"fields": {"tasks": ["title"]}}, actor="test")
    await world.grants.revoke(revoked, actor="test")
    go.set()
    await first
    second, third = await asyncio.gather(*waiting)
    assert "hidden" not in await second.get_data(as_text=True)
    assert (second.status_code, third.status_code) == (200, 403)
    assert ("list", "tasks", "forbidden") in await world.audit()


async def test_refusals_over_a_limit_cannot_fill_the_log_either(world: Any, asker: Asker) -> None:
    """They cost the peer nothing, so it could have as many of them as it can send."""
    ask = asker(requests_per_grant=1, refusals_per_address=3)
    _, certificate = await world.enrolled()
    answers = [await ask(certificate) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [200] + [429] * 7
    assert all('"grant";r=0' in answer.headers["RateLimit"] for answer in answers)
    assert [row[2] for row in await world.audit()] == ["ok", "ok"] + ["too-many"] * 3


async def test_searches_of_a_peer_take_few_places_and_leave_the_others_to_lists(
    world: Any, asker: Asker, monkeypatch: Any
) -> None:
    ask = asker(concurrency=3, searches=1, waiting=1, patience=30)
    (_, one), (_, other) = await world.enrolled(), await world.enrolled()  # both of home
    searching, go = held_up(world, monkeypatch, "search")
    tasks = [asyncio.create_task(ask(grant, "tasks/search?q=x")) for grant in (one, other, one)]
    await searching.acquire()
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    refused = await done.pop()
    assert refused.status_code == 429
    assert (await refused.get_json())["errors"] == [
        {"where": "limits.searches", "detail": "1 searches at once"}
    ]
    assert searching.locked()  # the second waits
    assert (await ask(one)).status_code == 200
    go.set()
    assert sorted(answer.status_code for answer in await asyncio.gather(*tasks)) == [200, 200, 429]


async def test_a_question_that_takes_too_long_is_ended_and_on_record(
    world: Any, asker: Asker, peers: Any
) -> None:
    ask = asker()
    _, certificate = await world.enrolled()
    await peers.execute("SET statement_timeout = 50")  # of the one connection that is at hand
    async with world.pool.transaction() as other:
        await other.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        answer = await ask(certificate)
    problem = await answer.get_json()
    assert (answer.status_code, "took longer" in problem["detail"]) == (503, True)
    assert answer.headers["Retry-After"] == "5"
    assert (await world.audit())[-1] == ("list", "tasks", "unavailable")


async def test_the_audit_log_is_read_in_the_places_of_searches(
    world: Any, asker: Asker, monkeypatch: Any
) -> None:
    ask = asker(searches=1, waiting=0)
    _, certificate = await world.enrolled()
    searching, go = held_up(world, monkeypatch, "search")
    search = asyncio.create_task(ask(certificate, "tasks/search?q=x"))
    await searching.acquire()
    refused = await ask(certificate, "audit/rows?since=2026-01-01T00:00:00Z")
    assert refused.status_code == 429
    assert (await refused.get_json())["errors"][0]["where"] == "limits.searches"
    go.set()
    assert (await search).status_code == 200
    assert (await ask(certificate, "audit/rows?since=2026-01-01T00:00:00Z")).status_code == 200


async def test_an_audit_log_that_takes_too_long_to_read_is_given_up(
    world: Any, asker: Asker, monkeypatch: Any
) -> None:
    monkeypatch.setattr("mosaic_federation.mutual.answering._PATIENCE", 2.0)  # time to be seen waiting
    ask = asker()
    _, certificate = await world.enrolled()
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1"
    async with world.pool.transaction() as other:
        await other.execute("LOCK TABLE federation_audit_log IN ACCESS EXCLUSIVE MODE")
        asked = asyncio.create_task(ask(certificate, "audit/rows?since=2026-01-01T00:00:00Z"))
        for waiting in (1, 0):  # in the end Postgres is asked no longer, either

            async def seen(waiting: int = waiting) -> bool:
                found = await world.pool.fetchval(blocked, "SELECT * FROM federation_audit_log%")
                return bool(found == waiting)

            await until(seen)
    answer = await asked
    problem = await answer.get_json()
    assert (answer.status_code, "took longer" in problem["detail"]) == (503, True)
    assert (await world.audit())[-1] == ("audit", "", "unavailable")
