"""A gateway that means ill takes part in mutual audit: it spoils no other's, and nothing here grows as it likes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

import mosaic_federation.mutual.asking
from mosaic_audit.checkpoints import sign_all
from mosaic_federation.listener import peer_mount
from mosaic_federation.mutual.asking import exchange, heads_job, rows_of_peer
from mosaic_federation.mutual.witness import Witness
from mosaic_federation.mutual.words import LINKS, PAGE, Heads
from mosaic_federation.peers import Peers
from mosaic_gateway.http import listener_app
from mosaic_hookspecs.errors import TooMany, Unavailable
from mosaic_hookspecs.testing import audit_event
from stub_log import StubLog
from stub_peers import StubPeer, new_root

ROOT = new_root()
LARGEST = 16 * 1024  # bytes of a body, as peers are told
SINCE = datetime(2026, 11, 1, tzinfo=UTC)
SAID = {"number": 1, "at": SINCE.isoformat(), "prev": "0" * 64, "root": "0" * 64, "rows": 1}
SPOILT: dict[str, Callable[[str], str]] = {
    "deep": lambda key: "[" * 2000,
    "infinite": lambda key: '{"number":1e999,"key":"a"}',
    "beyond-bigint": lambda key: json.dumps({**SAID, "number": 2**63, "key": key}),
    "negative": lambda key: json.dumps({**SAID, "number": -5, "key": key}),
    "zero": lambda key: json.dumps({**SAID, "number": 0, "key": key}),
    "fraction": lambda key: json.dumps({**SAID, "number": 1.5, "key": key}),
    "nul": lambda key: json.dumps({**SAID, "key": key}) + "\0",
    "no-prev": lambda key: json.dumps({**SAID, "key": key, "prev": None}),
    "year-0": lambda key: json.dumps({**SAID, "key": key, "at": "0000-00-00"}),
}


def answering(heads: Heads) -> Any:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(heads.model_dump())

    return answer


@pytest.fixture
async def stubs(world: Any) -> AsyncIterator[tuple[StubPeer, StubPeer]]:
    """Two on our record; the one of the evil name is asked first."""
    both = StubPeer("aevil", ROOT), StubPeer("good", ROOT)
    async with AsyncExitStack() as stack:
        for stub in both:
            await stack.enter_async_context(stub.up())
            await stub.enroll(world.host)
        await world.pool.execute("UPDATE federation_peers SET state = 'active'")
        yield both


@pytest.fixture
async def tell(world: Any) -> Callable[..., Any]:
    """Post as an enrolled peer does."""
    _, certificate = await world.enrolled()
    client = listener_app("federation", [peer_mount(world.host)], max_body_bytes=LARGEST).test_client()
    scope = {"state": {"client_certificate": certificate}, "client": ("192.0.2.1", 40_000)}

    async def post(body: Any, path: str = "audit/head") -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await client.post(f"/federation/v1/{path}", data=data, scope_base=scope)

    return post


@pytest.mark.parametrize("how", SPOILT)
async def test_what_one_peer_tells_ends_nobody_elses_round(
    world: Any, stubs: tuple[StubPeer, StubPeer], how: str
) -> None:
    evil, good = stubs
    log = StubLog()
    evil.answer = answering(Heads(head=log.signed(SPOILT[how](sha256(log.key).hexdigest()))))
    good.answer = answering(StubLog().heads(1))
    await heads_job(world.host).run({})
    assert (evil.asked, good.asked) == (["audit/head"], ["audit/head"] * 2)
    assert await world.pool.fetchval("SELECT count(*) FROM federation_heads") == 1


async def test_nor_does_one_that_never_answers(
    world: Any, stubs: tuple[StubPeer, StubPeer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mosaic_federation.mutual.asking, "_PATIENCE", 3.0)
    evil, good = stubs

    async def never(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(3600)
        raise AssertionError

    evil.answer, good.answer = never, answering(StubLog().heads(1))
    await heads_job(world.host).run({})
    assert (evil.asked, good.asked) == (["audit/head"], ["audit/head"] * 2)


@pytest.mark.parametrize("how", SPOILT)
async def test_a_checkpoint_that_is_none_is_refused(tell: Any, how: str) -> None:
    log = StubLog()
    head = log.signed(SPOILT[how](sha256(log.key).hexdigest()))
    answer = await tell(Heads(head=head).model_dump())
    assert answer.status_code == 409
    assert "is none" in (await answer.get_json())["detail"]


async def test_what_a_peer_tells_of_its_log_is_heard_so_often_and_no_more(world: Any, tell: Any) -> None:
    log, codes = StubLog(), []
    for number in range(1, 25):
        known = number - 1 or None
        codes.append((await tell(log.heads(number, known=known).model_dump())).status_code)
    assert codes == [200] * 20 + [429] * 4
    assert await world.pool.fetchval("SELECT count(*) FROM federation_heads") == 20


async def test_a_long_absence_is_told_of_in_pieces_that_fit(
    world: Any, stubs: tuple[StubPeer, StubPeer]
) -> None:
    stub, log = stubs[1], StubLog()
    ours = Witness(world.pool, "taker", uuid4(), "us")

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            body = await request.read()
            assert len(body) <= LARGEST
            await ours.hear(Heads.model_validate_json(body), await ours.last())
            return web.json_response({})
        known = int(request.query["known"]) if request.query else None
        last = min(known + LINKS + 1, 100) if known else 3
        heads = log.heads(last, known=known).model_copy(update={"yours": await ours.last()})
        return web.json_response(heads.model_dump())

    async def sign(times: int) -> None:
        for _ in range(times):
            await world.host.audit().record(audit_event(uuid4(), 1))
            await sign_all(world.host)

    stub.answer = answer
    peer = await Peers(world.pool).get("good")
    await sign(1)
    assert await exchange(world.host, peer) == 3
    await sign(LINKS * 2 + 5)
    assert await exchange(world.host, peer) == 100
    latest = await world.host.audit_log().head()
    assert await ours.last() == latest.number > LINKS * 2


@pytest.mark.parametrize(
    ("body", "outcome", "status"),
    [(b"x" * (LARGEST + 1), "too-large", 413), (b"x" * LARGEST, "malformed-request", 400)],
)
async def test_a_body_that_is_too_large_is_on_record_as_that(
    world: Any, tell: Any, body: bytes, outcome: str, status: int
) -> None:
    for path in ("renew", "audit/head"):
        assert (await tell(body, path)).status_code == status
    kept = [outcome for verb, _, outcome in await world.audit() if verb in {"renew", "audit"}]
    assert kept == [outcome] * 2


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
async def test_a_moment_of_no_year_is_refused(world: Any, asker: Any, moment: str) -> None:
    _, certificate = await world.enrolled()
    quoted = moment.replace("+", "%2B")
    for query in (f"since={quoted}", f"since=2026-11-01T00:00:00Z&after={quoted}/1"):
        assert (await asker()(certificate, f"audit/rows?{query}")).status_code == 400


async def test_pages_of_the_log_have_a_rate_of_their_own(world: Any, asker: Any) -> None:
    _, certificate = await world.enrolled()
    ask = asker()
    path = "audit/rows?since=2999-01-01T00:00:00Z"
    codes = [(await ask(certificate, path)).status_code for _ in range(64)]
    assert codes[:60] == [200] * 60
    assert codes[-1] == 429
    assert (await ask(certificate)).status_code == 200


def said(number: int) -> dict[str, Any]:
    return {
        "at": SINCE.isoformat(), "request_id": f"r{number}", "trace_id": "", "serial": "ab", "verb": "list",
        "resource": "tasks", "query_hash": "0" * 64, "outcome": "ok", "rows": 1, "bytes_out": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "place", "what"),
    [
        (PAGE, lambda page: page % 3 + 1, "never end"),
        (PAGE, lambda _: 1, "never end"),
        (0, lambda page: page, "never end"),
        (PAGE, lambda page: page, "more than 1000 rows"),
        (PAGE + 1, lambda page: page, "not answer like a gateway"),
    ],
    ids=["circle", "still", "empty", "endless", "long-page"],
)
async def test_a_record_that_never_ends_is_given_up(
    world: Any,
    stubs: tuple[StubPeer, StubPeer],
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    place: Any,
    what: str,
) -> None:
    monkeypatch.setattr(mosaic_federation.mutual.asking, "_MOST_ROWS", 1000)
    evil, pages = stubs[0], 0

    async def answer(_: web.Request) -> web.StreamResponse:
        nonlocal pages
        pages += 1
        page = [said(each) for each in range(rows)]
        return web.json_response({"rows": page, "after": f"{SINCE.isoformat()}/{place(pages)}"})

    evil.answer = answer
    with pytest.raises(Unavailable, match=what):
        async for _ in rows_of_peer(world.host, await Peers(world.pool).get("aevil"), SINCE):
            assert pages <= 10


async def test_a_peer_that_is_busy_is_asked_again_and_not_for_ever(
    world: Any, stubs: tuple[StubPeer, StubPeer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mosaic_federation.mutual.asking, "_PATIENCE", 0.01)
    busy, asked, refusals = stubs[0], 0, 3

    async def answer(_: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if asked <= refusals:
            return web.json_response({"status": 429}, status=429, headers={"Retry-After": "1"})
        return web.json_response({"rows": [said(1)], "after": None})

    busy.answer = answer
    peer = await Peers(world.pool).get("aevil")
    assert len([row async for row in rows_of_peer(world.host, peer, SINCE)]) == 1
    asked, refusals = 0, 1000
    with pytest.raises(TooMany):
        _ = [row async for row in rows_of_peer(world.host, peer, SINCE)]
    assert asked < 10
