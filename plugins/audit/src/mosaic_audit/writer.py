"""The audit sink: one writer per process, group commit without a timer.

A batch is whatever came in while the batch before was being committed, and while the event loop has others to serve:
alone, an event waits for nobody; under load, many share one commit.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from uuid import UUID

from mosaic_audit.chain import Chain, Entry
from mosaic_audit.checkpoints import head, numbered, sign_all
from mosaic_audit.key import load_key, make_key, public
from mosaic_audit.log import Filter, every
from mosaic_audit.metrics import COMMIT_SECONDS
from mosaic_audit.settings import Settings
from mosaic_hookspecs.audit import AuditCheckpoint, AuditRow
from mosaic_hookspecs.errors import ConfigError, MosaicError, Unavailable
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import AuditDirection, AuditEvent

PATIENCE = 5.0  # seconds, for an event to become durable
BATCH = 1000  # events at most in one commit
_TURN = 50e-6  # seconds; a turn of the loop that takes longer had something else to do
_GATHERING = 20e-3  # seconds at most, for a loop that is never done
# For as long a stream whose clock was set back stands still; after more, another one goes by the clock.
_AHEAD = timedelta(minutes=1)
_DETACHED = "55000"  # Postgres: object_not_in_prerequisite_state

_as_told = itemgetter(*AuditRow.__slots__)
_NEVER = datetime.min.replace(tzinfo=UTC)

_sql = load_queries("mosaic_audit", "queries.sql")
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Waiting:
    event: AuditEvent
    at: datetime
    until: float  # by the clock of the loop
    done: asyncio.Future[None]

    @property
    def is_wanted(self) -> bool:
        """Still, even if who asked is gone: what they did before may be done."""
        return not self.done.done() or self.done.cancelled()


class Writer:
    """Implements :class:`mosaic_hookspecs.protocols.AuditSink` and :class:`mosaic_hookspecs.protocols.AuditLog`.

    Its task lives only while there is something to write, so there is nothing to start and nothing to stop.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._chain = Chain.new()
        self._covered_until = _NEVER  # up to when there are partitions
        self._waiting: list[_Waiting] = []
        self._unanswered: deque[_Waiting] = deque()  # with those that are being written; the first came first
        self._sweep: asyncio.TimerHandle | None = None  # one for all: one each would cost as much as a row
        self._task: asyncio.Task[None] | None = None
        self._unsigned = 0  # rows of this process since it last had a checkpoint signed
        self._signing: asyncio.Task[None] | None = None

    async def key(self) -> bytes:
        """The public key, made now if there is none."""
        async with self._host.database.transaction() as sql:
            await sql.execute(_sql.lock_checkpoints)
            key = await load_key(sql, self._host.sealer)
            if key is None and await head(sql) is None:
                key = await make_key(sql, self._host.sealer)
        if key is None:
            raise ConfigError("the key of the audit log is gone", remedy="restore the database")
        return public(key)

    async def head(self, *, fresh: bool = False) -> AuditCheckpoint | None:
        """The latest checkpoint."""
        return await (sign_all(self._host) if fresh else head(self._host.database))

    async def checkpoint(self, number: int) -> AuditCheckpoint | None:
        """One by its number."""
        return await numbered(self._host.database, number)

    async def rows_of(
        self,
        grant_id: UUID,
        *,
        since: datetime,
        until: datetime | None = None,
        direction: AuditDirection = "answered",
    ) -> AsyncIterator[AuditRow]:
        """Rows of a grant, by time."""
        wanted = Filter(grant=grant_id, direction=direction, since=since, until=until)
        async for row in every(self._host.database, wanted):
            yield AuditRow(*_as_told(row))

    @asynccontextmanager
    async def signing_at_the_end(self) -> AsyncIterator[None]:
        """On leaving, have what this process wrote signed."""
        yield
        with suppress(TimeoutError):  # the next process signs what is left
            async with asyncio.timeout(PATIENCE):
                if self._signing:
                    await asyncio.wait([self._signing])
                if self._unsigned:
                    await self._sign()

    async def record(self, event: AuditEvent) -> None:
        """Return once the event is committed. Raises :class:`Unavailable` if it is not within 5 s."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(event, datetime.now(UTC), loop.time() + PATIENCE, loop.create_future())
        self._waiting.append(waiting)
        self._unanswered.append(waiting)
        if self._sweep is None:
            self._give_up_late_ones()
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        await waiting.done

    def _give_up_late_ones(self) -> None:
        """Fail what waits for too long, and come again when the next one would."""
        loop = asyncio.get_running_loop()
        self._forget_answered()
        while self._unanswered and self._unanswered[0].until <= loop.time():
            _answer(self._unanswered.popleft(), _unavailable(f"took longer than {PATIENCE:.0f} s"))
            self._forget_answered()
        self._waiting = [one for one in self._waiting if one.is_wanted and one.until > loop.time()]
        self._sweep = None
        if self._unanswered:
            self._sweep = loop.call_at(self._unanswered[0].until, self._give_up_late_ones)

    def _forget_answered(self) -> None:
        while self._unanswered and self._unanswered[0].done.done():
            self._unanswered.popleft()

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                if wanted := [one for one in batch if one.is_wanted]:
                    await self._commit(wanted)
                self._forget_answered()
        finally:
            self._task = None

    async def _gather(self) -> None:
        """Wait until the loop has nothing else to do: a commit costs as much as ten rows, so many are to share it."""
        turn = time.perf_counter()
        until = turn + _GATHERING
        while turn < until and len(self._waiting) < BATCH:
            before = turn
            await asyncio.sleep(0)
            turn = time.perf_counter()
            if turn - before < _TURN:
                return

    async def _commit(self, batch: list[_Waiting]) -> None:
        try:
            await self._append(batch)
        except (Unavailable, TimeoutError) as error:
            # It may be stored or not, and a second row with the same number must not be: leave the stream.
            self._chain = Chain.new()
            _fail(batch, error)
        except Exception as error:  # the database refused the batch, so that nothing of it was kept
            self._covered_until = _NEVER  # a partition may have gone
            if len(batch) == 1:
                _fail(batch, error)
                return
            for one in batch:
                await self._commit([one])
        else:
            for one in batch:
                _answer(one)

    async def _append(self, batch: list[_Waiting]) -> None:
        chain = self._chain if self._chain.at - batch[0].at < _AHEAD else Chain.new()
        entries: list[Entry] = []
        for one in batch:
            entries.append(chain.append(one.event, one.at))
            chain = chain.after(entries[-1])
        columns = [[e.payload for e in entries], [e.prev for e in entries], [e.hash for e in entries]]
        async with asyncio.timeout(PATIENCE):
            while self._covered_until <= chain.at:
                covered = max(self._covered_until, entries[0].at)
                self._covered_until = await self._host.database.fetchval(_sql.cover, covered)
            started = time.perf_counter()
            await self._host.database.execute(_sql.append, *columns)
            self._host.metrics.observe(COMMIT_SECONDS, time.perf_counter() - started)
        self._chain = chain
        self._count(len(entries))

    def _count(self, rows: int) -> None:
        self._unsigned += rows
        if self._unsigned >= self._host.settings(Settings).checkpoint_rows and self._signing is None:
            self._signing = asyncio.create_task(self._sign())

    async def _sign(self) -> None:
        self._unsigned = 0
        try:
            await sign_all(self._host)
        except Exception as error:  # the rows wait for the next one
            why = error.detail if isinstance(error, MosaicError) else type(error).__name__
            _log.error("audit: no checkpoint could be signed: %s", why)
        finally:
            self._signing = None


def _fail(batch: list[_Waiting], error: Exception) -> None:
    # What other errors of the database say may hold what was to be written.
    why = error if getattr(error, "sqlstate", "") == _DETACHED else type(error).__name__
    _log.error("audit: %d event(s) could not be written: %s", len(batch), why)
    for one in batch:
        _answer(one, _unavailable("could not be written"))


def _answer(one: _Waiting, error: Exception | None = None) -> None:
    if one.done.done():  # who asked is gone, or was told that it took too long
        return
    if error is None:
        one.done.set_result(None)
    else:
        one.done.set_exception(error)


def _unavailable(what: str) -> Unavailable:
    return Unavailable(
        f"no answer leaves without its audit row, and the row {what}",
        remedy="on the gateway asked, `mosaic gateway doctor` says what is wrong with its database",
    )
