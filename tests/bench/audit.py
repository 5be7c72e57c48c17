"""The audit log: ways to store a batch, what group commit gains, and how fast a log is verified.

One embedded Postgres with fsync, rounds in alternation. "Ours" stores a batch by one INSERT over unnest and
jsonb_populate_record; the other way is binary COPY of the same rows. "An INSERT each" is what a handler does that
commits its own row on its own connection.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import asyncpg
from tests.bench import Row

from mosaic_audit.chain import Chain, Entry
from mosaic_audit.checkpoints import sign_all
from mosaic_audit.plugin import mosaic_migrations
from mosaic_audit.settings import Settings
from mosaic_audit.stored import Stored
from mosaic_audit.verifying import verify
from mosaic_audit.writer import Writer
from mosaic_gateway.database import connect, open_pool
from mosaic_gateway.metrics.counts import Counts
from mosaic_gateway.sealing import Keyring, create_keys
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import AuditEvent
from mosaic_migrations.runner import migrate
from mosaic_tier_local.settings import Settings as LocalSettings
from mosaic_tier_local.storage import EmbeddedStorage

ROUNDS = 5
COMMITS = 30  # of a round
EVENTS = 800  # of a round, through the writer
AT_ONCE = 64

_sql = load_queries("mosaic_audit", "queries.sql")
_EVENT = AuditEvent(
    "partner",
    uuid4(),
    uuid4(),
    "0a" * 16,
    "list",
    "tasks",
    "00" * 32,
    "ok",
    50,
    12_000,
    900,
    str(uuid4()),
    "ab" * 16,
)
_SAID = (
    "peer",
    "grant_id",
    "subject_id",
    "serial",
    "verb",
    "resource",
    "query_hash",
    "outcome",
    "rows",
    "bytes_out",
)
_SAID_TOO = ("latency_us", "request_id")
_COLUMNS = ("stream", "seq", "at", *_SAID, *_SAID_TOO, "payload", "prev", "hash", "trace_id")
_ONE = f"INSERT INTO federation_audit_log ({', '.join(_COLUMNS)}) VALUES ({', '.join(f'${n + 1}' for n in range(len(_COLUMNS)))})"  # noqa: E501

Round = Callable[[], Awaitable[int]]  # returns how many rows it stored


async def measure() -> list[Row]:
    async with _pool() as (pool, host):
        rows = []
        for size in (1, AT_ONCE):
            ours, plain = await _alternating(_batches(pool, size, _insert), _batches(pool, size, _copy))
            rows.append(
                Row(
                    f"audit, {size} rows a commit: INSERT … jsonb_populate_record against COPY",
                    "rows/s",
                    ours,
                    plain,
                )
            )
        for at_once in (1, AT_ONCE):
            ours, plain = await _alternating(_writer(Writer(host), at_once), _each_its_own(pool, at_once))
            rows.append(
                Row(f"audit, {at_once} at once: group commit against an INSERT each", "rows/s", ours, plain)
            )
        await sign_all(host)
        ours, plain = await _alternating(_verified(pool), _only_read(pool), rounds=3)
        rows.append(Row("audit verify against reading the rows alone", "rows/s", ours, plain))
        return rows


@asynccontextmanager
async def _pool() -> AsyncIterator[tuple[Any, Any]]:
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        os.chmod(directory, 0o711)  # noqa: PTH101  Postgres may run as another user
        create_keys(Path(directory) / "keys.json")
        (Path(directory) / "data").mkdir(mode=0o700)
        async with EmbeddedStorage(Path(directory) / "data", LocalSettings()).open(serving=False) as location:
            connection = await connect(location)
            await migrate(connection, list(mosaic_migrations()))
            await connection.close()
            async with open_pool(location) as pool:
                host = SimpleNamespace(
                    database=pool, sealer=Keyring.read(Path(directory) / "keys.json"), gateway_name="work",
                    metrics=Counts(), settings=lambda _: Settings(checkpoint_rows=100_000),
                )  # fmt: skip
                yield pool, host


async def _alternating(one: Round, other: Round, rounds: int = ROUNDS) -> tuple[float, float]:
    """Rows a second of both, medians; the first round warms up."""
    speeds: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for run, found in zip((one, other), speeds, strict=True):
            began = time.perf_counter()
            stored = await run()
            if number:
                found.append(stored / (time.perf_counter() - began))
    return median(speeds[0]), median(speeds[1])


def _entries(chain: Chain, count: int) -> tuple[Chain, list[Entry]]:
    entries = []
    for _ in range(count):
        entries.append(chain.append(_EVENT, datetime.now(UTC)))
        chain = chain.after(entries[-1])
    return chain, entries


def _batches(pool: Any, size: int, store: Callable[..., Awaitable[None]]) -> Round:
    async def run() -> int:
        chain = Chain.new()
        async with pool._target.acquire() as connection:
            for _ in range(COMMITS):
                chain, entries = _entries(chain, size)
                await store(connection, chain, entries)
        return COMMITS * size

    return run


async def _insert(connection: asyncpg.Connection, _: Chain, entries: list[Entry]) -> None:
    columns = [[e.payload for e in entries], [e.prev for e in entries], [e.hash for e in entries]]
    await connection.execute(_sql.append, *columns)


async def _copy(connection: asyncpg.Connection, chain: Chain, entries: list[Entry]) -> None:
    records = [_record(chain, entry) for entry in entries]
    await connection.copy_records_to_table("federation_audit_log", records=records, columns=_COLUMNS)


def _record(chain: Chain, entry: Entry) -> tuple[Any, ...]:
    said = [getattr(_EVENT, name) for name in (*_SAID, *_SAID_TOO)]
    return (chain.stream, entry.seq, entry.at, *said, entry.payload, entry.prev, entry.hash, _EVENT.trace_id)


def _writer(writer: Writer, at_once: int) -> Round:
    return _through(at_once, lambda: writer.record(_EVENT))


def _each_its_own(pool: Any, at_once: int) -> Round:
    chain = Chain.new()

    async def one() -> None:
        nonlocal chain
        entry = chain.append(_EVENT, datetime.now(UTC))
        chain = chain.after(entry)
        await pool.execute(_ONE, *_record(chain, entry))

    return _through(at_once, one)


def _through(at_once: int, one: Callable[[], Awaitable[None]]) -> Round:
    events = EVENTS if at_once > 1 else EVENTS // 10

    async def run() -> int:
        left = iter(range(events))

        async def client() -> None:
            for _ in left:
                await one()

        await asyncio.gather(*(client() for _ in range(at_once)))
        return events

    return run


def _verified(pool: Any) -> Round:
    async def run() -> int:
        return sum(report.rows for report in await verify(Stored(pool), None) if report.stream)

    return run


def _only_read(pool: Any) -> Round:
    async def run() -> int:
        source, count = Stored(pool), 0
        for stream in await source.streams():
            async for _ in source.rows(stream, 0, None):
                count += 1
        return count

    return run
