"""What an admin relies on: nothing is recorded twice or half, nothing changes unseen, and trouble is local."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

import mosaic_audit.writer
from mosaic_audit.chain import link
from mosaic_audit.log import tail, verify
from mosaic_audit.plugin import mosaic_migrations
from mosaic_audit.writer import Writer
from mosaic_gateway.database import Pool
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.types import AuditEvent, MigrationSet

EVENT = AuditEvent(
    peer="home",
    grant_id=uuid4(),
    subject_id=uuid4(),
    serial="0a1b",
    verb="list",
    resource="tasks",
    query_hash="00" * 32,
    outcome="ok",
    rows=3,
    bytes_out=120,
    latency_us=900,
    request_id="r1",
)


@pytest.fixture
def migration_sets() -> list[MigrationSet]:
    return list(mosaic_migrations())


@pytest.fixture
def writer(pool: Pool) -> Writer:
    return Writer(SimpleNamespace(database=pool))


async def fill(writer: Writer, count: int) -> None:
    for number in range(count):
        await writer.record(replace(EVENT, request_id=f"r{number}"))


async def tamper(pool: Pool, *statements: str) -> None:
    """As the owner of the table can, who may switch its triggers off."""
    async with pool.transaction() as sql:
        await sql.execute("ALTER TABLE federation_audit_log DISABLE TRIGGER ALL")
        for statement in statements:
            await sql.execute(statement)
        await sql.execute("ALTER TABLE federation_audit_log ENABLE TRIGGER ALL")


async def test_a_recorded_event_is_committed_with_all_it_says(pool: Pool, writer: Writer) -> None:
    await writer.record(EVENT)
    [row] = await tail(pool, 10)
    assert {key: row[key] for key in EVENT.__dataclass_fields__} == {
        key: getattr(EVENT, key) for key in EVENT.__dataclass_fields__
    }
    assert row["seq"] == 1


async def test_concurrent_events_share_commits_and_keep_one_unbroken_chain(
    pool: Pool, writer: Writer
) -> None:
    await asyncio.gather(*(writer.record(replace(EVENT, request_id=f"r{i}")) for i in range(300)))
    commits = await pool.fetchval("SELECT count(DISTINCT xmin::text) FROM federation_audit_log")
    assert commits < 30
    [report] = await verify(pool)
    assert (report.rows, report.broken_at) == (300, None)


async def test_each_process_writes_a_stream_of_its_own(pool: Pool) -> None:
    writers = [Writer(SimpleNamespace(database=pool)) for _ in range(3)]
    await asyncio.gather(*(writer.record(EVENT) for writer in writers for _ in range(20)))
    reports = await verify(pool)
    assert [(report.rows, report.broken_at) for report in reports] == [(20, None)] * 3


async def test_a_bad_event_fails_alone(pool: Pool, writer: Writer) -> None:
    events = [replace(EVENT, peer="nul\0" if i == 7 else "home", request_id=f"r{i}") for i in range(20)]
    outcomes = await asyncio.gather(*map(writer.record, events), return_exceptions=True)
    assert [i for i, outcome in enumerate(outcomes) if isinstance(outcome, Unavailable)] == [7]
    [report] = await verify(pool)
    assert (report.rows, report.broken_at) == (19, None)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE federation_audit_log SET rows = 0",
        "DELETE FROM federation_audit_log",
        "DELETE FROM federation_audit_log WHERE false",
        "TRUNCATE federation_audit_log",
    ],
)
async def test_the_log_only_grows(pool: Pool, writer: Writer, statement: str) -> None:
    await fill(writer, 2)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await pool.execute(statement)
    assert len(await tail(pool, 10)) == 2


@pytest.mark.parametrize(
    "change",
    [
        "peer = 'work'",
        "grant_id = NULL",
        "subject_id = gen_random_uuid()",
        "serial = ''",
        "verb = 'get'",
        "resource = 'notes'",
        "query_hash = ''",
        "outcome = 'forbidden'",
        "rows = 0",
        "bytes_out = 1",
        "latency_us = 1",
        "request_id = ''",
        "at = at + interval '1 microsecond'",
        "payload = payload || ' '",
        "payload = 'not json'",
        "hash = sha256('x')",
        "prev = sha256('x')",
    ],
)
async def test_verify_finds_any_edit_and_says_where(pool: Pool, writer: Writer, change: str) -> None:
    await fill(writer, 5)
    await tamper(pool, f"UPDATE federation_audit_log SET {change} WHERE seq = 3")
    [report] = await verify(pool)
    assert (report.rows, report.broken_at) == (5, 3)
    assert "edited" in report.problem


async def test_verify_finds_a_row_rewritten_with_a_fitting_hash(pool: Pool, writer: Writer) -> None:
    await fill(writer, 5)
    row = await pool.fetchrow("SELECT payload, prev FROM federation_audit_log WHERE seq = 3")
    forged = row["payload"].replace('"rows":3', '"rows":0')
    forged_hash = link(row["prev"], forged).hex()
    await tamper(
        pool,
        f"UPDATE federation_audit_log SET rows = 0, payload = '{forged}', hash = '\\x{forged_hash}' WHERE seq = 3",
    )
    [report] = await verify(pool)
    assert report.broken_at == 4
    assert "does not follow" in report.problem


@pytest.mark.parametrize(
    ("gone", "at", "missing"), [("1", 2, "row 1"), ("3", 4, "row 3"), ("2, 3", 4, "rows 2 to 3")]
)
async def test_verify_finds_a_gap(pool: Pool, writer: Writer, gone: str, at: int, missing: str) -> None:
    await fill(writer, 5)
    await tamper(pool, f"DELETE FROM federation_audit_log WHERE seq IN ({gone})")
    [report] = await verify(pool)
    assert (report.broken_at, report.problem) == (at, f"gap: {missing} missing")


async def test_nothing_is_acknowledged_while_the_table_is_gone_and_work_goes_on_after(
    pool: Pool, writer: Writer
) -> None:
    await fill(writer, 2)
    await pool.execute("ALTER TABLE federation_audit_log RENAME TO elsewhere")
    with pytest.raises(Unavailable, match="audit row"):
        await writer.record(EVENT)
    await pool.execute("ALTER TABLE elsewhere RENAME TO federation_audit_log")
    await fill(writer, 2)
    assert all(report.broken_at is None for report in await verify(pool))


async def test_a_table_that_blocks_is_given_up_in_bounded_time(
    pool: Pool, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mosaic_audit.writer, "PATIENCE", 0.3)
    async with pool.transaction() as other:
        await other.execute("LOCK TABLE federation_audit_log IN ACCESS EXCLUSIVE MODE")
        outcomes: list[Any] = await asyncio.gather(
            *(writer.record(EVENT) for _ in range(5)), return_exceptions=True
        )
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
    await writer.record(EVENT)
    assert all(report.broken_at is None for report in await verify(pool))
