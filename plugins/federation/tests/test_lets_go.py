"""What is over is gone at once: nothing of it waits until garbage is looked for."""

from __future__ import annotations

import asyncio
import time
import weakref
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from mosaic_federation.brief import Brief
from mosaic_federation.reading.flights import Flights
from mosaic_hookspecs.errors import Unavailable


class Request:
    """A user's, which a question is asked for."""


@pytest.mark.parametrize("within", [None, 0.01], ids=["refused", "too late"])
async def test_a_question_in_vain_keeps_no_users_request(no_search: None, within: float | None) -> None:
    flights, go = Flights(), asyncio.Event()
    peer: Any = SimpleNamespace(id=uuid4(), name="work")

    async def ask() -> weakref.ref[Request]:
        request = Request()

        async def work() -> bytes:
            if within:
                await go.wait()
            raise Unavailable(f"asked for {id(request)}")

        with pytest.raises((Unavailable, TimeoutError)):
            await flights.ask(peer, "question", work, most=4, within=within)
        return weakref.ref(request)

    kept = await ask()
    go.set()
    async with asyncio.timeout(10):
        while kept() is not None:  # noqa: ASYNC110  # nobody says when the loop has let go of it
            await asyncio.sleep(0)
    await flights.close()


def test_what_was_kept_for_a_moment_is_dropped_when_others_are_kept() -> None:
    kept: Brief[str, Request] = Brief()
    one, other = Request(), Request()
    of_one, of_other = weakref.ref(one), weakref.ref(other)
    kept.keep("one", one, time.monotonic())
    kept.keep("other", other, time.monotonic() + 60)
    del one, other
    kept.keep("third", Request(), time.monotonic() + 60)
    assert of_one() is None
    assert kept.get("other") is of_other() is not None
