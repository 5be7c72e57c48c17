"""What every audit sink has to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.protocols import AuditSink
from mosaic_hookspecs.redaction import redact
from mosaic_hookspecs.types import AuditEvent

Make = Callable[[], AbstractAsyncContextManager[AuditSink]]
Recorded = Callable[[UUID], Awaitable[Sequence[str]]]
PATIENCE = 10.0  # seconds in which a refusal has to come

_ODD = {
    "a line break": 'home\n{"peer": "work"}',
    "other line breaks": "home\r\x0b\x0c\x1c\x85\u2028work",
    "a NUL": "home\0work",
    "half a character": "home\ud800",
    "quotes and blanks": "ho\\me \"x'=|\t]",
    "much": "h" * 5000,
}


def audit_event(grant_id: UUID, number: int = 0, **changes: Any) -> AuditEvent:
    """An event such as a gateway records; its ``request_id`` tells the number."""
    event = AuditEvent(
        peer="home",
        grant_id=grant_id,
        subject_id=uuid4(),
        serial="0a1b2c3d",
        verb="list",
        resource="tasks",
        query_hash="5e" * 32,
        outcome="ok",
        rows=3,
        bytes_out=120,
        latency_us=900,
        request_id=f"r{number}",
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
    )
    return replace(event, **changes)


class AuditSinkContract:
    """Inherit from this and give it three fixtures: ``make``, each call of which opens one more sink over the same
    place, as another process would have; ``recorded``, which awaits the ``request_id`` of each event that the place
    durably holds of a grant, oldest first, read past the sink; ``broken``, which opens one that cannot write.
    """

    async def test_an_event_is_there_when_it_was_recorded(self, make: Make, recorded: Recorded) -> None:
        """Committed before ``record`` returns: the answer leaves right after."""
        grant = uuid4()
        async with make() as sink:
            for number in range(5):
                await sink.record(audit_event(grant, number))
                assert (await recorded(grant))[-1:] == [f"r{number}"]

    async def test_events_keep_their_order(self, make: Make, recorded: Recorded) -> None:
        grant = uuid4()
        async with make() as sink:
            for number in range(30):
                await sink.record(audit_event(grant, number))
        assert await recorded(grant) == [f"r{number}" for number in range(30)]

    async def test_of_events_at_once_each_is_kept_once(self, make: Make, recorded: Recorded) -> None:
        """In one process and in two."""
        grant = uuid4()
        async with make() as one, make() as two:
            await asyncio.gather(
                *((one, two)[number % 2].record(audit_event(grant, number)) for number in range(200))
            )
        assert sorted(await recorded(grant)) == sorted(f"r{number}" for number in range(200))

    async def test_a_cancelled_one_takes_no_other_with_it(self, make: Make, recorded: Recorded) -> None:
        """Whether it is kept itself is open; not twice."""
        grant = uuid4()
        async with make() as sink:
            tasks = [asyncio.ensure_future(sink.record(audit_event(grant, number))) for number in range(40)]
            await asyncio.sleep(0)
            for task in tasks[::4]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await sink.record(audit_event(grant, 40))
        kept = await recorded(grant)
        assert len(kept) == len(set(kept)), "one is there twice"
        assert {f"r{number}" for number in range(41) if number % 4 or number == 40} <= set(kept)

    @pytest.mark.parametrize("kind", _ODD)
    async def test_no_text_makes_two_events_of_one(self, make: Make, recorded: Recorded, kind: str) -> None:
        """Peers choose some of it. To refuse the event is as good, if the next one is kept."""
        grant, other = uuid4(), uuid4()
        async with make() as sink:
            try:
                await sink.record(audit_event(grant, peer=_ODD[kind], resource=_ODD[kind]))
                kept = ["r0"]
            except Unavailable:
                kept = []
            await sink.record(audit_event(other, 1))
        assert list(await recorded(grant)) == kept
        assert list(await recorded(other)) == ["r1"]

    async def test_what_cannot_be_written_is_refused_in_time(self, broken: Make) -> None:
        """With ``Unavailable`` within 10 s, for each of those that wait: no audit, no answer."""
        async with broken() as sink, asyncio.timeout(PATIENCE):
            outcomes = await asyncio.gather(
                *(sink.record(audit_event(uuid4(), number)) for number in range(5)), return_exceptions=True
            )
        for outcome in outcomes:
            assert isinstance(outcome, Unavailable), f"{outcome!r} instead of Unavailable"

    async def test_a_refusal_tells_nothing_of_the_event(self, broken: Make) -> None:
        """It is shown to a peer, and its text is logged."""
        event = audit_event(uuid4())
        async with broken() as sink, asyncio.timeout(PATIENCE):
            with pytest.raises(Unavailable) as caught:
                await sink.record(event)
        said = str(caught.value)
        assert redact(said) == said, f"it tells what looks like a secret: {redact(said)}"
        facts = (event.grant_id, event.subject_id, event.serial, event.query_hash)
        assert not [fact for fact in facts if str(fact) in said], "it tells of whom it was"
