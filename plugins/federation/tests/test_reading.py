"""Reading from peers over real TLS: what is kept, who is left alone, and what nobody gets to see."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from mosaic_federation.answers import Unreachable
from mosaic_federation.expiry import expiry_job
from mosaic_federation.links import links_of
from mosaic_federation.peers import FAILURES, Peer, Peers
from mosaic_federation.plugin import mosaic_sealed_columns
from mosaic_federation.probes import certificate_probes
from mosaic_federation.reading.arrivals import Arrivals
from mosaic_federation.reading.kept import Kept, Question
from mosaic_federation.reading.reader import Read, Reader
from mosaic_federation.reading.sources import AT_ONCE, PeerSources
from mosaic_federation.settings import Reading, Settings
from mosaic_gateway.sealing import Keyring, Keys
from mosaic_gateway.sealing.rotation import rotate
from mosaic_gateway.sources import Fanout
from mosaic_hookspecs.errors import Forbidden, Gone, MosaicError, NotFound, TooMany, Unavailable
from mosaic_hookspecs.sources import Asked
from mosaic_hookspecs.types import User
from stub_peers import StubPeer, new_root, refusing, silent_port

ROOT = new_root()
ROW = {"id": "7d0c5f0e-8f0b-4b57-8d0e-2f1a0b6f3c21", "title": "a secret plan", "created_at": "2026-01-01"}


class Away:
    """A stub that is up, and can be stopped; and a reader of it."""

    def __init__(self, world: Any, stack: AsyncExitStack) -> None:
        self.world = world
        self.stub = StubPeer("work", ROOT, [ROW])
        self._stack = stack

    async def start(self) -> None:
        await self._stack.enter_async_context(self.stub.up())

    async def stop(self) -> None:
        await self._stack.aclose()

    async def peer(self) -> Peer:
        return await Peers(self.world.pool).get("work")

    async def read(self, *steps: str, **more: Any) -> Read:
        question = Question(await self.peer(), steps or ("tasks",))
        return await Reader(self.world.host).read(question, **more)

    async def kept(self) -> int:
        return int(await self.world.pool.fetchval("SELECT count(*) FROM federation_peer_answers"))

    def settings(self, **reading: Any) -> None:
        self.world.gateway.settings["federation"] = Settings(reading=Reading(**reading))


@pytest.fixture
async def away(world: Any) -> AsyncIterator[Away]:
    async with AsyncExitStack() as stack:
        made = Away(world, stack)
        made.settings(cache_seconds=60)
        await made.start()
        await made.stub.enroll(world.host)
        yield made


async def test_an_answer_serves_the_same_question_again_and_no_other(away: Away) -> None:
    first, again = await away.read(), await away.read()
    assert (first.kept, again.kept, again.body == first.body) == (False, True, True)
    assert 0 <= again.age < 60
    assert (await away.read("tasks", "search")).kept is False
    assert (await away.read(fresh=True)).kept is False
    assert (await away.read(ask_first=True)).kept is False
    assert away.stub.asked == ["tasks", "tasks/search", "tasks", "tasks"]


async def test_zero_seconds_keep_nothing_as_new(away: Away) -> None:
    away.settings(cache_seconds=0)
    await away.read()
    assert (await away.read()).kept is False


async def test_what_is_kept_is_sealed_and_only_for_its_question(away: Away) -> None:
    await away.read()
    [row] = await away.world.pool.fetch("SELECT * FROM federation_peer_answers")
    assert b"secret plan" not in row["sealed_body"]
    peer = await away.peer()
    other = Question(peer, ("tasks",), [("limit", "1")])
    await away.world.pool.execute("UPDATE federation_peer_answers SET key = $1", other.key)
    assert await Kept(away.world.host).find(other, youngest=60) is None, "moved: it does not open"


async def test_while_the_peer_is_away_old_answers_are_shown_as_old(away: Away) -> None:
    away.settings(cache_seconds=0)
    body = (await away.read()).body
    await away.stop()
    old = await away.read()
    assert (old.body, old.kept, "nothing listens there" in str(old.why_old)) == (body, True, True)
    for more in ({"fresh": True}, {"ask_first": True, "fresh": True}):
        with pytest.raises(Unreachable, match="nothing listens"):
            await away.read(**more)
    with pytest.raises(Unreachable):
        await away.read("tasks", "search")
    await away.world.pool.execute(
        "UPDATE federation_peer_answers SET answered_at = now() - interval '2 days'"
    )
    with pytest.raises(Unavailable):
        await away.read()
    await expiry_job(away.world.host).run({})
    assert await away.kept() == 0


@pytest.mark.parametrize(("status", "error"), [(403, Forbidden), (410, Gone)])
async def test_a_refusal_erases_all_that_the_peer_has_told(away: Away, status: int, error: type) -> None:
    await away.read()
    await away.read("tasks", ROW["id"])
    away.stub.answer = refusing(status, "the grant was revoked")
    with pytest.raises(error, match="revoked"):
        await away.read(fresh=True)
    assert (await away.kept(), (await away.peer()).standing) == (0, "refused")
    await away.stop()
    with pytest.raises(Unavailable):
        await away.read()


async def test_an_answer_of_before_a_refusal_is_not_kept_after_it(away: Away) -> None:
    peer = await away.peer()
    await Peers(away.world.pool).refused(peer, "revoked meanwhile")
    await Kept(away.world.host).keep(Question(peer, ("tasks",)), b"{}")
    assert await away.kept() == 0


async def test_what_the_peer_no_longer_has_is_not_shown_any_more(away: Away) -> None:
    await away.read()
    await away.read("tasks", ROW["id"])
    away.stub.answer = refusing(404)
    with pytest.raises(NotFound):
        await away.read("tasks", ROW["id"], fresh=True)
    assert await away.kept() == 1, "the list stays"
    with pytest.raises(NotFound):
        await away.read("tasks", "search")
    assert await away.kept() == 0, "the resource is shared no more"


@pytest.mark.parametrize("status", [429, 500, 503, 400])
async def test_a_peer_that_is_there_and_says_no_is_believed(away: Away, status: int) -> None:
    away.settings(cache_seconds=0)
    await away.read()
    away.stub.answer = refusing(status)
    with pytest.raises(MosaicError) as caught:
        await away.read()
    assert not isinstance(caught.value, Unreachable)
    assert (await away.peer()).failures == 0


async def test_one_who_takes_our_certificate_and_hangs_up_may_be_refusing_it(away: Away) -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    away.settings(cache_seconds=0)
    await away.read()
    away.stub.answer = hang_up
    with pytest.raises(Unavailable, match="closed the connection") as caught:
        await away.read()
    assert not isinstance(caught.value, Unreachable)


ODD = [f'{{"items": [{{"id": "1", "x": {number}}}]}}' for number in ("NaN", "1e999")]


@pytest.mark.parametrize("body", ["", "<html>", '{"items": 1}', '{"items": [{}]}', *ODD])
async def test_what_is_no_answer_is_neither_shown_nor_kept(away: Away, body: str) -> None:
    async def nonsense(_: web.Request) -> web.StreamResponse:
        return web.Response(text=body, content_type="application/json")

    away.stub.answer = nonsense
    with pytest.raises(Unavailable, match="does not answer like a gateway"):
        await away.read()
    assert await away.kept() == 0


async def test_bytes_kept_of_one_peer_are_bounded(away: Away) -> None:
    away.settings(cache_seconds=0, cache_bytes=8000)
    away.stub.rows = [ROW | {"title": "x" * 700}]
    for number in range(12):
        question = Question(await away.peer(), ("tasks",), [("limit", str(number + 1))])
        await Reader(away.world.host).read(question)
    total = await away.world.pool.fetchval("SELECT sum(length(sealed_body)) FROM federation_peer_answers")
    assert (5000 < total <= 8000, await Kept(away.world.host).find(question, youngest=60) is not None) == (
        True,
        True,
    )
    away.stub.rows = [ROW | {"title": "x" * 2000}]
    await away.read()
    assert await Kept(away.world.host).find(Question(await away.peer(), ("tasks",)), youngest=60) is None


async def test_removing_a_peer_erases_what_it_told(away: Away) -> None:
    await away.read()
    await Peers(away.world.pool).remove("work")
    assert await away.kept() == 0


async def test_equal_questions_at_the_same_time_are_asked_once(away: Away) -> None:
    let_go = asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse:
        await let_go.wait()
        return web.json_response({"items": [ROW], "next_cursor": None})

    away.stub.answer = slow
    tasks = [asyncio.create_task(away.read()) for _ in range(5)]
    while not away.stub.asked:  # noqa: ASYNC110 - the stub sets no event
        await asyncio.sleep(0.01)
    with pytest.raises(TimeoutError):
        await away.read(within=0.5)
    assert away.stub.asked == ["tasks"]
    let_go.set()
    assert len({read.body for read in await asyncio.gather(*tasks)}) == 1
    assert away.stub.asked == ["tasks"]


async def test_an_answer_that_came_too_late_serves_the_next_one(away: Away) -> None:
    let_go = asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse:
        await let_go.wait()
        return web.json_response({"items": [ROW], "next_cursor": None})

    away.stub.answer = slow
    with pytest.raises(TimeoutError):
        await away.read(within=0.05)
    let_go.set()
    assert (await away.read()).body
    assert len(away.stub.asked) == 1


async def test_no_peer_takes_more_than_its_share(away: Away) -> None:
    away.settings(cache_seconds=0, concurrency=2)
    let_go, two = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse:
        if len(away.stub.asked) == 2:
            two.set()
        await let_go.wait()
        return web.json_response({"items": [], "next_cursor": None})

    away.stub.answer = slow
    peer, reader = await away.peer(), Reader(away.world.host)
    questions = [Question(peer, ("tasks",), [("limit", str(number + 1))]) for number in range(40)]
    tasks = [asyncio.create_task(reader.read(each)) for each in questions]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)  # the first that finds the line full
    await two.wait()
    assert len(away.stub.asked) == 2
    let_go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(each, TooMany) for each in results) == 40 - 2 - 32


async def fail(away: Away, times: int) -> None:
    for _ in range(times):
        with pytest.raises(Unreachable):
            await away.read(fresh=True)


async def test_a_peer_that_is_away_is_left_alone_and_then_tried_by_one(away: Away) -> None:
    await away.stop()
    await fail(away, FAILURES)
    peer = await away.peer()
    assert (peer.standing, peer.failure) == ("unreachable", "nothing listens there")
    assert peer.retry_at is not None
    await away.world.pool.execute("UPDATE federation_peers SET retry_at = now() + interval '1 hour'")
    await away.start()
    with pytest.raises(Unreachable, match="is not asked for now: nothing listens there"):
        await away.read(fresh=True)
    assert away.stub.asked == []
    assert (await away.read(ask_first=True)).body, "who asks by hand need not wait"
    await away.world.pool.execute(
        "UPDATE federation_peers SET failures = 3, failure = 'gone', retry_at = now() + interval '1 hour'"
    )
    with pytest.raises(Unreachable, match="is not asked for now: gone"):
        await away.read(fresh=True)
    await away.world.pool.execute("UPDATE federation_peers SET retry_at = now() - interval '1 second'")
    peer = await away.peer()
    tries = [await Peers(away.world.pool).may_try(peer) for _ in range(3)]
    assert tries == [True, False, False]
    await away.world.pool.execute("UPDATE federation_peers SET retry_at = now() - interval '1 second'")
    assert (await away.read(fresh=True)).body
    peer = await away.peer()
    assert (peer.standing, peer.failures, peer.failure) == (peer.state, 0, None)


async def test_pauses_grow_to_ten_minutes_and_no_further(away: Away) -> None:
    peers, pauses = Peers(away.world.pool), []
    for number in range(FAILURES + 12):
        before = datetime.now(UTC)
        await peers.failed(await away.peer(), f"failure {number}")
        after = (await away.peer()).retry_at
        pauses.append((after - before).total_seconds() if after else 0)
    assert pauses[: FAILURES - 1] == [0] * (FAILURES - 1)
    assert pauses[FAILURES - 1] < 2 < pauses[FAILURES + 1] < pauses[FAILURES + 4]
    assert 479 < pauses[-1] <= 601


async def test_failures_that_were_under_way_together_count_once_when_it_is_open(away: Away) -> None:
    peers, peer = Peers(away.world.pool), await away.peer()
    for _ in range(20):
        await peers.failed(peer, "gone")
    assert (await away.peer()).failures == FAILURES


async def test_whoever_asks_us_is_asked_again(away: Away) -> None:
    await away.stop()
    await fail(away, FAILURES)
    await away.world.pool.execute("UPDATE federation_peers SET retry_at = now() + interval '1 hour'")
    arrivals = Arrivals(away.world.host)
    for name in ("someone-else", "work", "work"):
        arrivals.note(name)
    assert len(arrivals._tasks) == 2, "not a query for each request"
    await asyncio.gather(*arrivals._tasks)
    await away.start()
    assert (await away.read(fresh=True)).body


async def test_the_doctor_says_who_is_away(away: Away) -> None:
    await away.read()
    await away.stop()
    await fail(away, FAILURES)
    [probe] = [each for each in certificate_probes(away.world.host) if each.name == "federation peers"]
    finding = await probe.check()
    assert finding.status == "yellow"
    assert "work: not reached (nothing listens there), its last answer came" in finding.detail


async def test_when_a_peer_last_answered_is_known_to_the_minute(away: Away) -> None:
    await away.read()
    first = (await away.peer()).answered_at
    await away.read(fresh=True)
    assert (await away.peer()).answered_at == first, "not a write for each answer"
    await away.world.pool.execute(
        "UPDATE federation_peers SET answered_at = answered_at - interval '2 minutes'"
    )
    await away.read(fresh=True)
    assert first is not None
    assert datetime.now(UTC) - first < timedelta(minutes=1)
    assert (await away.peer()).answered_at > first  # type: ignore[operator]


async def test_dead_silent_and_forbidden_peers_beside_a_live_one(away: Away) -> None:
    """The live one's rows come, and each other source is told apart."""
    world = away.world
    lead = User((await world.host.identity.user("ada")).id, "ada")
    gone, hidden = StubPeer("gone", ROOT), StubPeer("hidden", ROOT)
    refused = StubPeer("refused", ROOT, answer=refusing(403, "the grant was revoked"))
    async with silent_port() as port, refused.up():
        await gone.enroll(world.host, port=1)
        await hidden.enroll(world.host, port=1, readers="admins")
        await refused.enroll(world.host)
        await StubPeer("silent", ROOT).enroll(world.host, port=port)
        fanout = Fanout(world.host.rows, [PeerSources(world.host)], lambda: [b"k" * 32])
        page = await fanout.list(lead, "tasks", {}, "local,peer:*,peer:hidden", Asked(within=3))
        assert [(each.name, each.status) for each in page.sources] == [
            ("local", "ok"),
            ("peer:gone", "unavailable"),
            ("peer:refused", "refused"),
            ("peer:silent", "timeout"),
            ("peer:work", "ok"),
            ("peer:hidden", "unknown"),
        ]
        assert [(row["id"], row["source"]) for row in page.items] == [(ROW["id"], "peer:work")]
        assert all(each.detail for each in page.sources if each.status != "ok")
        found = await fanout.search(lead, None, {"q": "plan"}, "local,peer:work", Asked(within=60))
        assert [(row["source"], row["resource"]) for row in found.items] == [("peer:work", "tasks")]
        json.dumps(page.items)
        await links_of(world.host).flights.close()


async def test_a_peer_that_hangs_is_shown_as_it_was_and_as_it_is_when_it_goes_on(away: Away) -> None:
    """Whoever asks meanwhile waits less, and gets no less."""
    away.settings(cache_seconds=0)
    await away.read()
    go_on = asyncio.Event()

    async def hangs(_: web.Request) -> web.StreamResponse:
        await go_on.wait()
        return web.json_response({"items": [], "next_cursor": None})

    away.stub.answer = hangs
    for _ in range(2):
        old = await away.read(within=0.6)
        assert (old.kept, old.why_old is not None) == (True, True)
    assert "within 0.5 s" in str(old.why_old)
    assert len(away.stub.asked) == 2, "the second has waited for the answer to the first"
    go_on.set()
    new = await away.read()
    assert (new.kept, json.loads(new.body)["items"]) == (False, [])


async def test_a_peer_whose_pages_lead_nowhere_holds_nobody_up(away: Away) -> None:
    async def nowhere(_: web.Request) -> web.StreamResponse:
        return web.json_response({"items": [], "next_cursor": "on-and-on"})

    away.stub.answer = nowhere
    user = User((await away.world.host.identity.user("ada")).id, "ada")
    [source] = await PeerSources(away.world.host).readable_by(user)
    with pytest.raises(Unavailable, match="lead nowhere"):
        await source.list("tasks", {}, Asked(within=60))


@pytest.mark.parametrize(
    "odd", [{"id": "1" * 100_000}, {"created_at": "9" * 100_000}, {"created_at": [0] * 5000}]
)
async def test_a_row_that_no_cursor_can_hold_takes_no_page_from_others(
    away: Away, odd: dict[str, Any]
) -> None:
    away.stub.rows = [ROW | odd] * 3
    user = User((await away.world.host.identity.user("ada")).id, "ada")
    [source] = await PeerSources(away.world.host).readable_by(user)
    with pytest.raises(Unavailable, match="lead nowhere"):
        await source.list("tasks", {"limit": "1"}, Asked(within=60))
    assert (await source.search("tasks", {"q": "x"}, Asked(within=60))).items, "a search has no pages"


async def test_one_who_names_many_resources_leaves_room_for_others(away: Away) -> None:
    asked, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        if "notes" in request.path:
            asked.release()
            await go_on.wait()
        return web.json_response({"items": [ROW], "next_cursor": None})

    away.settings(cache_seconds=0, concurrency=20)  # half of them are one user's
    away.stub.answer = slow
    lead = User((await away.world.host.identity.user("ada")).id, "ada")
    fanout = Fanout(away.world.host.rows, [PeerSources(away.world.host)], lambda: [b"k" * 32])
    names = [f"notes{number}" for number in range(50)]
    many = asyncio.create_task(fanout.search(lead, names, {"q": "x"}, "peer:*", Asked(within=9)))
    for _ in range(AT_ONCE):
        await asked.acquire()
    [other] = (await fanout.list(lead, "tasks", {}, "peer:*", Asked(within=9))).sources
    go_on.set()
    assert (other.status, len(away.stub.asked)) == ("ok", AT_ONCE + 1)
    assert [each.status for each in (await many).sources] == ["ok"]


async def test_what_is_kept_is_sealed_anew_with_the_keys(away: Away) -> None:
    await away.read()
    columns = [each for each in mosaic_sealed_columns() if each.table == "federation_peer_answers"]
    both = Keyring(Keys("k2", {"k1": b"s" * 32, "k2": b"t" * 32}))
    report = await rotate(away.world.pool, both, columns, lambda *_: None)
    assert (report.resealed, report.faults) == (1, [])
    away.world.gateway.sealer = Keyring(Keys("k2", {"k2": b"t" * 32}))
    found = await Kept(away.world.host).find(Question(await away.peer(), ("tasks",)), youngest=60)
    assert found is not None
    assert b"a secret plan" in found[0]
