"""The line before a peer, shared by users, and how long they wait for one that hangs."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from mosaic_federation.reading.flights import Flights
from mosaic_hookspecs.errors import TooMany, Unavailable


async def test_one_users_questions_leave_room_for_anothers() -> None:
    flights, peer, go = Flights(), SimpleNamespace(id=uuid4(), name="work"), asyncio.Event()
    asked: list[Any] = []
    one, other = uuid4(), uuid4()

    async def ask(user: Any, number: int) -> bytes:
        async def work() -> bytes:
            asked.append((user, number))
            if user is one:
                await go.wait()
            return b"answer"

        peers: Any = peer
        return await flights.ask(peers, (user, number), work, most=4, within=None, user=user)

    many = [asyncio.create_task(ask(one, number)) for number in range(40)]
    done, _ = await asyncio.wait(many, return_when=asyncio.FIRST_COMPLETED)
    for refused in done:  # their own line is full
        with pytest.raises(TooMany, match="wait for peer 'work'"):
            await refused
    assert asked == [(one, 0), (one, 1)]
    assert await ask(other, 0) == b"answer"
    go.set()
    await asyncio.wait(many)
    assert sum(task.exception() is None for task in many) == 40 - len(done)
    await flights.close()


async def test_a_peer_that_hangs_holds_nobody_up_for_a_whole_deadline_again() -> None:
    flights, go = Flights(), asyncio.Event()
    peer: Any = SimpleNamespace(id=uuid4(), name="work")
    other: Any = SimpleNamespace(id=uuid4(), name="partner")

    async def hangs() -> bytes:
        await go.wait()
        return b"answer"

    assert flights.time_for(peer, 2.0) == 2.0
    with pytest.raises(TimeoutError):
        await flights.ask(peer, "question", hangs, most=4, within=0.6)
    assert (flights.time_for(peer, 0.6), flights.time_for(peer, 0.1)) == (0.5, 0.1)
    assert flights.time_for(peer, 2.0) == 2.0, "who gives it more time than has passed in vain is obeyed"
    assert (flights.time_for(peer, None), flights.time_for(other, 0.6)) == (None, 0.6)
    with pytest.raises(TimeoutError):
        await flights.ask(peer, "question", hangs, most=4, within=0.1)
    assert flights.time_for(peer, 0.6) == 0.5, "a shorter time in vain changes nothing"
    go.set()
    assert await flights.ask(peer, "question", hangs, most=4, within=None) == b"answer"
    assert flights.time_for(peer, 0.6) == 0.6, "it has answered"


async def test_a_question_that_fails_gives_a_peer_that_hung_no_more_time() -> None:
    flights = Flights()
    peer: Any = SimpleNamespace(id=uuid4(), name="work")

    async def hangs() -> bytes:
        await asyncio.sleep(0.7)
        raise Unavailable("no answer in time", remedy="wait")

    with pytest.raises(TimeoutError):
        await flights.ask(peer, "question", hangs, most=4, within=0.6)
    with pytest.raises(Unavailable):
        await flights.ask(peer, "question", hangs, most=4, within=None)
    assert flights.time_for(peer, 0.6) == 0.5
    flights.keep_only({peer.id})
    assert flights.time_for(peer, 0.6) == 0.5
    flights.keep_only(())
    assert flights.time_for(peer, 0.6) == 0.6, "nothing is known of a peer that was removed"


async def test_waiting_in_ones_own_line_is_no_fault_of_the_peers() -> None:
    flights, go, user = Flights(), asyncio.Event(), uuid4()
    peer: Any = SimpleNamespace(id=uuid4(), name="work")

    async def slow() -> bytes:
        await go.wait()
        return b"answer"

    first = asyncio.create_task(flights.ask(peer, "first", slow, most=2, within=None, user=user))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await flights.ask(peer, "second", slow, most=2, within=0.6, user=user)
    assert flights.time_for(peer, 0.6) == 0.6
    go.set()
    assert await first == b"answer"
    await flights.close()
