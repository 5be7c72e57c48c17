"""The record of one gateway joined with another's, and what a gateway is held to once it has said it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaic_audit.key import key_text
from mosaic_federation.asked import NO_ANSWER
from mosaic_federation.mutual.reconciling import join
from mosaic_federation.mutual.witness import Witness, latest_of
from mosaic_federation.mutual.words import Heads, SharedRow
from mosaic_hookspecs.errors import Conflict, MosaicError, NotFound
from stub_log import StubLog

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def row(number: int, request_id: str = "", **more: Any) -> SharedRow:
    said = {
        "at": NOW + timedelta(seconds=number),
        "request_id": request_id or f"r{number}",
        "trace_id": "0" * 31 + "1",
        "serial": "ab",
        "verb": "list",
        "resource": "tasks",
        "query_hash": sha256(str(number).encode()).hexdigest(),
        "outcome": "ok",
        "rows": 2,
        "bytes_out": 10,
    }
    return SharedRow(**{**said, **more})


def kinds(ours: list[SharedRow], theirs: list[SharedRow]) -> list[tuple[str, str]]:
    return sorted((each.kind, each.request_id) for each in join(ours, theirs) if each)


ids = st.sampled_from(["a", "b", "c"])  # a client may send one id again and again


@given(st.lists(st.tuples(ids, st.booleans(), st.booleans()), max_size=12), st.randoms(use_true_random=False))
def test_exactly_what_is_gone_is_named(answers: list[tuple[str, bool, bool]], random: Any) -> None:
    whole = [row(number, request_id) for number, (request_id, _, _) in enumerate(answers)]
    ours = [each for each, (_, here, _) in zip(whole, answers, strict=True) if here]
    theirs = [each for each, (_, _, there) in zip(whole, answers, strict=True) if there]
    random.shuffle(theirs)
    named = [each for each in join(ours, theirs) if each]
    agreed = sum(here and there for _, here, there in answers)
    assert list(join(ours, theirs)).count(None) == agreed
    left = len(ours) + len(theirs) - 2 * agreed
    paired = sum(
        each.kind == "differs" for each in named
    )  # two rows of one id that have nothing to do with each other
    assert len(named) + paired == left


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        ({}, {}, []),
        ({"rows": 3}, {}, ["differs"]),
        ({"outcome": "ok"}, {"outcome": "not-found", "rows": 0}, ["differs"]),
        ({"outcome": NO_ANSWER, "rows": 0}, {}, ["lost"]),
        ({"outcome": NO_ANSWER, "rows": 0}, None, []),
        ({"outcome": "unavailable", "rows": 0}, None, []),
        ({"outcome": "too-many", "rows": 0}, None, []),
        (None, {"outcome": "too-many", "rows": 0}, ["only-theirs"]),
        ({"outcome": "unavailable", "rows": 0}, {"outcome": MosaicError.code, "rows": 0}, []),
        ({"outcome": "not-found", "rows": 0}, None, ["only-ours"]),
        (None, {}, ["only-theirs"]),
        (None, {"outcome": "forbidden", "rows": 0}, ["only-theirs"]),
    ],
    ids=[
        "same",
        "rows",
        "outcome",
        "lost",
        "never-asked",
        "shed",
        "dropped",
        "flood",
        "fault",
        "refusal",
        "unknown",
        "foreign",
    ],
)
def test_each_difference_has_a_name(ours: Any, theirs: Any, found: Any) -> None:
    left = [[row(1, **side)] if side is not None else [] for side in (ours, theirs)]
    assert [kind for kind, _ in kinds(*left)] == found


@pytest.fixture
def witness(world: Any) -> Witness:
    return Witness(world.pool, "giver", uuid4(), "home")


async def test_a_log_goes_on_from_what_was_said(witness: Witness) -> None:
    log = StubLog()
    await witness.hear(Heads(), None)
    assert await witness.last() is None
    await witness.hear(log.heads(3), None)
    await witness.hear(log.heads(3, known=3), 3)
    await witness.hear(log.heads(4, known=3), 3)
    await witness.hear(log.heads(9, known=4), 4)
    assert await witness.last() == 9
    assert await replace(witness, side="taker").last() is None


async def refused(witness: Witness, told: Heads, what: str) -> None:
    with pytest.raises(Conflict, match=what):
        await witness.hear(told, await witness.last())


async def test_what_was_said_cannot_be_taken_back(witness: Witness, caplog: pytest.LogCaptureFixture) -> None:
    log, other = StubLog(), StubLog()
    await witness.hear(log.heads(3), None)
    await refused(witness, log.heads(4), "does not show its checkpoint 3")
    await refused(witness, log.heads(2, known=3), "went back from checkpoint 3 to 2")
    rewritten = log.forked(1)
    await refused(witness, rewritten.heads(4, known=3), "tells two things of its checkpoint 3")
    await refused(witness, other.heads(4, known=3), "another key")
    await refused(witness, Heads(known=log.head(3)), "shows no checkpoint any more after 3")
    unsigned = log.head(4).model_copy(update={"signature": "00" * 64})
    await refused(witness, Heads(head=unsigned, known=log.head(3)), "did not sign")
    junk = log.head(4).model_copy(update={"payload": "[]"})
    await refused(witness, Heads(head=junk, known=log.head(3)), "is none")
    assert caplog.text.count("mutual audit") == 7
    # the proof that it was rewritten is kept, beside what it contradicts
    kept = await witness.database.fetch("SELECT number FROM federation_heads ORDER BY number, told_at")
    assert [each["number"] for each in kept] == [2, 3, 3]
    with pytest.raises(Exception, match="is kept"):
        await witness.database.execute("DELETE FROM federation_heads")


@pytest.mark.parametrize("number", [4, 5, 9])
async def test_a_log_that_goes_on_from_another_checkpoint_is_noticed(witness: Witness, number: int) -> None:
    """Who has kept the old checkpoint aside can show it, and has all the same written its log anew."""
    log = StubLog()
    await witness.hear(log.heads(3), None)
    forked = log.forked(2).heads(number, known=3).model_copy(update={"known": log.head(3)})
    await refused(witness, forked, "does not go on from its checkpoint 3")
    left_out = log.heads(number + 1, known=3).model_copy(update={"between": ()})
    await refused(witness, left_out, "does not go on from its checkpoint 3")
    assert await witness.last() == 3
    await witness.hear(log.heads(number, known=3), 3)


async def test_a_peer_reads_the_rows_of_its_own_grant_page_by_page(
    world: Any, asker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mosaic_federation.mutual.answering.PAGE", 2)
    _, mine = await world.enrolled()
    _, other = await world.enrolled()
    ask = asker()
    for certificate, count in ((mine, 3), (other, 2)):
        for _ in range(count):
            assert (await ask(certificate)).status_code == 200
    since, after, seen = "since=2026-01-01T00:00:00Z", "", []
    for _ in range(2):
        answer = await ask(mine, f"audit/rows?{since}{after}")
        page = await answer.get_json()
        seen += page["rows"]
        after = f"&after={page['after']}".replace("+", "%2B")
    assert [(each["verb"], each["rows"]) for each in seen] == [*[("list", 0)] * 3, ("audit", 2)]
    assert {key for each in seen for key in each} == set(SharedRow.model_fields)
    assert (await ask(mine, "audit/rows?since=yesterday")).status_code == 400
    assert (await ask(mine, f"audit/rows?{since}&after=2026-01-01T00:00:00.000/1")).status_code == 400
    assert (await ask(None, f"audit/rows?{since}")).status_code == 403


async def test_a_key_is_shown_as_its_own_gateway_prints_it(world: Any) -> None:
    grant_id, _ = await world.enrolled()
    log = StubLog()
    await Witness(world.pool, "taker", grant_id, "home").hear(log.heads(3), None)
    [row] = await world.pool.fetch("SELECT key FROM federation_heads")
    assert (await latest_of(world.pool, "home"))["key"] == key_text(row["key"])


async def test_nobody_told_us_anything_yet(world: Any) -> None:
    with pytest.raises(NotFound, match="no checkpoint"):
        await latest_of(world.pool, "home")
