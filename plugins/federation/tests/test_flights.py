"""The line before a peer, shared by users."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from mosaic_federation.reading.flights import Flights
from mosaic_hookspecs.errors import TooMany


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
