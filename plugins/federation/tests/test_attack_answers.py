"""A peer that means ill, asked over real TLS: what it answers costs little, is nobody else's, and shuts nobody out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from mosaic_federation.links import links_of
from mosaic_federation.peers import Peers
from mosaic_federation.reading.kept import Question
from mosaic_federation.reading.reader import Reader
from mosaic_federation.settings import Reading, Settings
from mosaic_hookspecs.errors import Forbidden, TooMany, Unavailable
from stub_peers import StubPeer, new_root

ROOT = new_root()
IDS = ("7d0c5f0e-8f0b-4b57-8d0e-2f1a0b6f3c21", "7d0c5f0e-8f0b-4b57-8d0e-2f1a0b6f3c22")
MIB = 1024 * 1024


class Evil:
    """A stub on our record, that answers as a test says; and what we have of it."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.stub = StubPeer("work", ROOT, [{"id": IDS[0]}])

    def answers(self, body: bytes, status: int = 200) -> None:
        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(body=body, status=status, content_type="application/json")

        self.stub.answer = answer

    async def read(self, *steps: str) -> bytes:
        question = Question(await Peers(self.world.pool).get("work"), steps or ("tasks",))
        return (await Reader(self.world.host).read(question)).body

    async def get(self, *steps: str) -> bytes:
        return await links_of(self.world.host).get(await Peers(self.world.pool).get("work"), *steps)

    async def kept(self) -> int:
        return int(await self.world.pool.fetchval("SELECT count(*) FROM federation_peer_answers"))

    async def outcomes(self) -> list[str]:
        return [outcome for _, _, outcome in await self.world.audit()]


@pytest.fixture
async def evil(world: Any) -> AsyncIterator[Evil]:
    world.gateway.settings["federation"] = Settings(reading=Reading(cache_seconds=0))
    made = Evil(world)
    async with made.stub.up():
        await made.stub.enroll(world.host)
        yield made


async def test_an_answer_is_not_taken_apart_that_is_all_strings(evil: Evil) -> None:
    """Commas in a text, and then millions of strings: half a minute of this gateway's time."""
    commas = b'{"items":[{"id":"x","t":"' + b"," * 100_001 + b'"}],"next_cursor":null,"a":['
    evil.answers(commas + b'""' * (9 * MIB))
    with pytest.raises(Unavailable, match="more than 100000 values"):
        await evil.read()
    assert await evil.outcomes() == ["unreadable"]


async def test_a_page_is_read_up_to_twenty_mebibytes(evil: Evil) -> None:
    """A gateway ends its own at 16 MB."""
    evil.answers(json.dumps({"items": [{"id": IDS[0], "body": "x\n" * 6 * MIB}]}).encode())
    assert len(await evil.read()) > 18 * MIB
    for steps in (("tasks",), ("tasks", "search"), ("tasks", IDS[0])):
        evil.answers(b" " * 21 * MIB)
        with pytest.raises(Unavailable, match=f"sent more than {20 * MIB} bytes"):
            await evil.read(*steps)


@pytest.mark.parametrize(
    ("steps", "most"),
    [
        (("whoami",), 256 * 1024),
        (("capabilities",), 256 * 1024),
        (("audit", "head"), 256 * 1024),
        (("audit", "rows"), MIB),
    ],
)
async def test_what_is_no_page_of_rows_has_a_small_limit(
    evil: Evil, steps: tuple[str, ...], most: int
) -> None:
    """To find out that 64 MB are none of these took 8 s and 3.5 GB."""
    evil.answers(b"{" + b" " * (most - 2) + b"}")
    assert len(await evil.get(*steps)) == most
    evil.answers(b"{" + b" " * (most - 1) + b"}")
    with pytest.raises(Unavailable, match=f"sent more than {most} bytes"):
        await evil.get(*steps)


async def test_the_no_of_a_policy_is_to_one_question(evil: Evil) -> None:
    await evil.read()
    evil.answers(
        json.dumps({"type": "urn:mosaic:problem:policy", "detail": "not at this hour"}).encode(), 403
    )
    with pytest.raises(Forbidden, match="not at this hour"):
        await evil.read("notes")
    assert await evil.kept() == 1
    peer = await Peers(evil.world.pool).get("work")
    assert (peer.standing, peer.refusal) == (peer.state, None), "else it would not be renewed any more"
    assert await evil.outcomes() == ["ok", "policy"]


@pytest.mark.parametrize("kind", [{"type": "urn:mosaic:problem:forbidden"}, {"type": "about:blank"}, {}])
async def test_the_no_of_the_gate_is_to_all_of_them(evil: Evil, kind: dict[str, str]) -> None:
    await evil.read()
    evil.answers(json.dumps(kind | {"detail": "the grant was revoked"}).encode(), 403)
    with pytest.raises(Forbidden, match="revoked"):
        await evil.read("notes")
    peer = await Peers(evil.world.pool).get("work")
    assert (await evil.kept(), peer.standing) == (0, "refused")


async def test_another_row_than_was_asked_for_is_neither_shown_nor_kept(evil: Evil) -> None:
    evil.answers(json.dumps({"id": IDS[1]}).encode())
    with pytest.raises(Unavailable, match="another row"):
        await evil.read("tasks", IDS[0])
    assert (await evil.kept(), await evil.outcomes()) == (0, ["unreadable"])
    for asked in (IDS[1], IDS[1].upper(), IDS[1].replace("-", "")):
        assert await evil.read("tasks", asked), "a gateway reads an id in each of these ways"


async def test_nobody_waits_in_the_line_of_another_user(evil: Evil) -> None:
    """One who has filled their own line to a slow peer asks last what everybody asks."""
    let_go, peer = asyncio.Event(), await Peers(evil.world.pool).get("work")
    mine, anothers = (Reader(evil.world.host, uuid4()) for _ in range(2))

    async def slow(request: web.Request) -> web.StreamResponse:
        if "title" in request.query:
            await let_go.wait()
        return web.json_response({"items": [{"id": IDS[0]}], "next_cursor": None})

    def fill(numbers: range) -> list[asyncio.Task[Any]]:
        questions = [Question(peer, ("tasks",), [("title", str(number))]) for number in numbers]
        return [asyncio.create_task(anothers.read(each)) for each in questions]

    evil.stub.answer = slow
    first = fill(range(10))
    everybodys = asyncio.create_task(anothers.read(Question(peer, ("tasks",))))
    more = fill(range(10, 60))
    done, _ = await asyncio.wait(more, return_when=asyncio.FIRST_COMPLETED)
    for each in done:
        with pytest.raises(TooMany, match="wait for peer 'work'"):
            await each
    assert (await mine.read(Question(peer, ("tasks",)), within=5)).body
    assert not everybodys.done()
    let_go.set()
    await asyncio.gather(*first, everybodys, *more, return_exceptions=True)
