"""This release with the last one, each way. ``release_0_1.json`` is what its listener for peers said, word for word,
to what its own client asks, and to what it had never heard of: recorded once, so that no clone can lack it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web

from mosaic_federation.enrollment import Enrollment
from mosaic_federation.joining import hear_from
from mosaic_federation.keys import new_key, signing_request
from mosaic_federation.offers import Issued, Offered
from mosaic_federation.peers import Peer, Peers
from mosaic_federation.reading.kept import Question
from mosaic_federation.reading.reader import Reader
from mosaic_federation.renewals import is_due
from mosaic_federation.renewing import renew
from mosaic_hookspecs.errors import Forbidden, NotFound, Unavailable
from stub_peers import StubPeer, new_root, pem

TOLD = json.loads(Path(__file__).with_name("release_0_1.json").read_text())
NEW_TO_IT = ("capabilities", "renew", "mode=")
REFUSED = TOLD["exchanges"][-2:]  # after its grant was revoked
ASKED = [
    each
    for each in TOLD["exchanges"]
    if each not in REFUSED and not any(word in each["path"] for word in NEW_TO_IT)
]

Ask = Callable[..., Awaitable[Any]]


def shape(value: Any) -> Any:
    """Names and kinds, down to the values; of a list what its first item has."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    return [shape(each) for each in value[:1]] if isinstance(value, list) else type(value).__name__


def holds(ours: Any, theirs: Any) -> bool:
    """Whether what was there is there, and of the same kind; more may be."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return all(name in ours and holds(ours[name], each) for name, each in theirs.items())
    if isinstance(theirs, list) and isinstance(ours, list):
        return all(holds(one, other) for one, other in zip(ours, theirs, strict=True))
    return bool(ours == theirs)


async def test_what_the_last_release_asks_is_answered_as_it_was(
    world: Any, asker: Callable[..., Ask]
) -> None:
    ids = []
    for number in range(3):
        ada = await world.host.identity.user("ada")
        made = await world.host.rows.create(ada, "tasks", json.dumps({"title": f"title {number}"}).encode())
        ids.append(json.loads(made.body)["id"])
    grant_id, certificate = await world.enrolled(resources=("tasks",))
    ask, cursor = asker(), ""

    async def asked(each: Any) -> None:
        nonlocal cursor
        path, _, old_cursor = each["path"].partition("&cursor=")
        for old, new in zip(TOLD["ids"], ids, strict=True):
            path = path.replace(old, new)
        answer = await ask(certificate, f"{path}&cursor={quote(cursor)}" if old_cursor else path)
        said = await answer.get_json()
        assert (answer.status_code, answer.headers["Content-Type"]) == (each["status"], each["type"]), path
        assert holds(shape(said), shape(each["body"])), path
        assert len(said.get("items", ())) == len(each["body"].get("items", ())), path
        cursor = said.get("next_cursor") or cursor

    for each in ASKED:
        await asked(each)
    await world.grants.revoke(grant_id, actor="test")
    for each in REFUSED:
        await asked(each)


async def test_the_last_release_can_enroll_with_this_one(world: Any) -> None:
    offer, enrollment = await world.offer(resources=("tasks",)), Enrollment(world.host)
    token = offer.url.partition("#")[0].rpartition("/")[2]
    assert holds(shape(await enrollment.offer(token)), shape(TOLD["offered"]))
    redeemed = await enrollment.redeem(token, csr=signing_request(new_key()), name="home", request_id="r")
    assert holds(shape(redeemed), shape(TOLD["redeemed"]))


def test_this_release_reads_what_the_last_one_offers() -> None:
    assert Offered.model_validate(TOLD["offered"]).resources == ("tasks",)
    redeemed = TOLD["redeemed"] | {"ca": pem(new_root().certificate).decode()}
    assert Issued.model_validate(redeemed).scope["resources"] == ["tasks"]


@pytest.fixture
async def last(world: Any) -> AsyncIterator[StubPeer]:
    """A peer of the last release; what it was never asked is a failure."""
    stub = StubPeer("work", new_root())
    async with stub.up():
        peer = await stub.enroll(world.host)

        async def answer(request: web.Request) -> web.StreamResponse:
            path = request.path_qs.removeprefix("/federation/v1/")
            [each] = [e for e in TOLD["exchanges"][:-2] if (e["method"], e["path"]) == (request.method, path)]
            text = json.dumps(each["body"])
            text = text.replace(TOLD["offered"]["grant_id"], str(peer.grant_id))
            text = text.replace(TOLD["offered"]["subject"]["id"], str(peer.subject_id))
            return web.Response(status=each["status"], text=text, content_type=each["type"])

        stub.answer = answer
        yield stub


async def heard(world: Any) -> Peer:
    return await hear_from(world.host, "work")


async def read(world: Any, *steps: str, **params: str) -> Any:
    question = Question(await Peers(world.pool).get("work"), steps, list(params.items()))
    return json.loads((await Reader(world.host).read(question, fresh=True)).body)


async def test_this_release_reads_from_the_last_one(world: Any, last: StubPeer) -> None:
    peer = await heard(world)
    assert peer.capabilities is not None
    assert (peer.capabilities["protocol"], peer.capabilities["renewal"]) == ({"min": 1, "max": 1}, False)
    assert len((await read(world, "tasks"))["items"]) == 3
    assert (await read(world, "tasks", TOLD["ids"][0]))["title"] == "title 0"
    with pytest.raises(NotFound):
        await read(world, "notes")
    assert last.asked[:2] == ["whoami", "capabilities"]


async def test_it_is_asked_nothing_that_it_does_not_know(world: Any, last: StubPeer) -> None:
    await heard(world)
    last.asked.clear()
    await read(world, "tasks", "search", q="title", mode="text", highlight="false")
    assert last.asked == ["tasks/search?q=title"]
    for params in ({"mode": "hybrid"}, {"lang": "german"}, {"highlight": "true"}):
        with pytest.raises(Unavailable, match=r"release 0\.1, which knows no") as refused:
            await read(world, "tasks", "search", q="title", **params)
        assert "newer release" in refused.value.remedy
    assert len(last.asked) == 1


async def test_a_peer_that_was_not_asked_yet_is_asked_as_it_comes(world: Any, last: StubPeer) -> None:
    with pytest.raises(Exception, match="mode"):
        await read(world, "tasks", "search", q="title", mode="hybrid")
    assert last.asked == ["tasks/search?q=title&mode=hybrid"]


async def test_it_is_not_asked_to_renew_but_by_hand_and_then_says_what_to_do(
    world: Any, last: StubPeer
) -> None:
    peer = await heard(world)
    assert not is_due(peer, peer.not_after.replace(microsecond=0))
    assert "renew" not in last.asked
    with pytest.raises(NotFound) as refused:
        await renew(world.host, peer)
    assert "grant reissue" in refused.value.remedy
    assert (await Peers(world.pool).get("work")).standing == "active"


async def test_its_refusal_is_understood(world: Any, last: StubPeer) -> None:
    refused = REFUSED[0]

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(refused["body"], status=refused["status"], content_type=refused["type"])

    last.answer = answer
    with pytest.raises(Forbidden, match="the grant was revoked"):
        await heard(world)
    assert (await Peers(world.pool).get("work")).standing == "refused"
