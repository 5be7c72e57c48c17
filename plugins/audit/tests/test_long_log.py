"""A gateway that verifies a log of months goes on answering, and asks its database no more than it must."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID

from mosaic_audit.checkpoints import sign_all
from mosaic_audit.key import load_key, public
from mosaic_audit.stored import Filed, Stored
from mosaic_audit.verifying import Report, verify
from mosaic_audit.writer import Writer
from mosaic_hookspecs.types import AuditEvent

if TYPE_CHECKING:
    from conftest import Log


async def sign_often(log: Log, writer: Writer, checkpoints: int) -> None:
    """One row in each."""
    for _ in range(checkpoints):
        await log.fill(writer, 1)
        await sign_all(log.host)


async def reports(log: Log, source: Stored) -> list[Report]:
    key = await load_key(log.pool, log.host.sealer)
    assert key is not None
    return await verify(source, public(key))


class Watched(Stored):
    """Counts the rows and checkpoints that are given to whoever verifies them."""

    given = 0

    async def checkpoints(self) -> AsyncIterator[Filed]:
        async for filed in super().checkpoints():
            self.given += 1
            yield filed

    async def rows(self, stream: UUID, after: int, last: int | None) -> AsyncIterator[Mapping[str, Any]]:
        async for row in super().rows(stream, after, last):
            self.given += 1
            yield row


async def test_others_have_their_turn_while_a_long_log_is_verified(
    log: Log, writer: Writer, event: AuditEvent
) -> None:
    await sign_often(log, writer, 300)
    await asyncio.gather(*(writer.record(replace(event, request_id=f"r{n}")) for n in range(1700)))
    source, seen = Watched(log.pool), [0]

    async def other() -> None:
        while True:
            seen.append(source.given)
            await asyncio.sleep(0)

    answering = asyncio.create_task(other())
    found = await reports(log, source)
    answering.cancel()
    seen.append(source.given)
    assert [(report.rows, report.broken_at) for report in found] == [(300, None), (2000, None)]
    assert source.given == 2300
    assert max(later - earlier for earlier, later in pairwise(seen)) <= 200, "between two turns"


class Counted:
    """A database that counts what it is asked."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        self.asked += 1
        return getattr(self._log.pool, name)


async def test_checkpoints_are_asked_for_in_pages_and_each_is_checked(log: Log, writer: Writer) -> None:
    asked = []
    for more in (10, 300):
        await sign_often(log, writer, more)
        database: Any = Counted(log)
        checkpoints, _ = await reports(log, Stored(database))
        assert checkpoints.broken_at is None
        asked.append(database.asked)
    assert asked[1] - asked[0] <= 5, "two statements for each page"
    for number in (310, 201, 200):
        await log.tamper(f"UPDATE federation_audit_spans SET root = head WHERE checkpoint = {number}")
        checkpoints, _ = await reports(log, Stored(log.pool))
        assert (checkpoints.broken_at, checkpoints.problem) == (number, "edited: what it covers was changed")
