"""The audit sink: one writer per process, group commit without a timer.

A batch is whatever came in while the batch before was being committed: alone, an event waits for nobody;
under load, many share one commit.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mosaic_audit.chain import Chain, Entry
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import AuditEvent

PATIENCE = 5.0  # seconds, for an event to become durable
BATCH = 1000  # events at most in one commit

_sql = load_queries("mosaic_audit", "queries.sql")
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Waiting:
    event: AuditEvent
    at: datetime
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Writer:
    """Implements :class:`mosaic_hookspecs.protocols.AuditSink`.

    Its task lives only while there is something to write, so there is nothing to start and nothing to stop.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._chain = Chain.new()
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    async def record(self, event: AuditEvent) -> None:
        """Return once the event is committed. Raises :class:`Unavailable` if it is not within 5 s."""
        waiting = _Waiting(event, datetime.now(UTC))
        self._waiting.append(waiting)
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        try:
            await asyncio.wait_for(waiting.done, PATIENCE)
        except TimeoutError:
            raise _unavailable(f"took longer than {PATIENCE:.0f} s") from None

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                await self._commit([one for one in batch if not one.done.done()])
        finally:
            self._task = None

    async def _commit(self, batch: list[_Waiting]) -> None:
        try:
            await self._append(batch)
        except (Unavailable, TimeoutError) as error:
            # It may be stored or not, and a second row with the same number must not be: leave the stream.
            self._chain = Chain.new()
            _fail(batch, error)
        except Exception as error:  # the database refused the batch, so that nothing of it was kept
            if len(batch) == 1:
                _fail(batch, error)
                return
            for one in batch:
                await self._commit([one])
        else:
            for one in batch:
                if not one.done.done():
                    one.done.set_result(None)

    async def _append(self, batch: list[_Waiting]) -> None:
        chain = self._chain
        entries: list[Entry] = []
        for one in batch:
            entries.append(chain.append(one.event, one.at))
            chain = chain.after(entries[-1])
        columns = [[e.payload for e in entries], [e.prev for e in entries], [e.hash for e in entries]]
        async with asyncio.timeout(PATIENCE):
            await self._host.database.execute(_sql.append, *columns)
        self._chain = chain


def _fail(batch: list[_Waiting], error: Exception) -> None:
    _log.error("audit: %d event(s) could not be written: %s", len(batch), type(error).__name__)
    for one in batch:
        if not one.done.done():
            one.done.set_exception(_unavailable("could not be written"))


def _unavailable(what: str) -> Unavailable:
    return Unavailable(
        f"no answer leaves without its audit row, and the row {what}",
        remedy="on the gateway asked, `mosaic gateway doctor` says what is wrong with its database",
    )
