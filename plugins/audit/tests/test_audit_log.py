"""What an admin relies on: nothing is recorded twice or half, nothing changes unseen, and trouble is local."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

import mosaic_audit.writer
from mosaic_audit.chain import link
from mosaic_audit.log import Filter, latest
from mosaic_audit.writer import Writer
from mosaic_gateway.database import Pool
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.types import AuditEvent

if TYPE_CHECKING:
    from conftest import Log


async def tail(pool: Pool) -> list[Any]:
    return await latest(pool, Filter(), 10)


async def test_a_recorded_event_is_committed_with_all_it_says(
    pool: Pool, writer: Writer, event: AuditEvent
) -> None:
    await writer.record(event)
    [row] = await tail(pool)
    assert {key: row[key] for key in event.__dataclass_fields__} == {
        key: getattr(event, key) for key in event.__dataclass_fields__
    }
    assert row["seq"] == 1


async def test_concurrent_events_share_commits_and_keep_one_unbroken_chain(
    pool: Pool, writer: Writer, log: Log, event: AuditEvent
) -> None:
    await asyncio.gather(*(writer.record(replace(event, request_id=f"r{i}")) for i in range(300)))
    commits = await pool.fetchval("SELECT count(DISTINCT xmin::text) FROM federation_audit_log")
    assert commits < 30
    [report] = await log.verify()
    assert (report.rows, report.broken_at) == (300, None)


async def test_each_process_writes_a_stream_of_its_own(log: Log, event: AuditEvent) -> None:
    writers = [log.writer() for _ in range(3)]
    await asyncio.gather(*(writer.record(event) for writer in writers for _ in range(20)))
    reports = await log.verify()
    assert [(report.rows, report.broken_at) for report in reports] == [(20, None)] * 3


async def test_who_leaves_before_the_commit_is_on_record(
    pool: Pool, writer: Writer, event: AuditEvent
) -> None:
    leaving = asyncio.create_task(writer.record(replace(event, request_id="left")))
    await asyncio.sleep(0)
    leaving.cancel()
    await writer.record(event)
    assert "left" in {row["request_id"] for row in await tail(pool)}


async def test_a_bad_event_fails_alone(writer: Writer, log: Log, event: AuditEvent) -> None:
    events = [replace(event, peer="nul\0" if i == 7 else "home", request_id=f"r{i}") for i in range(20)]
    outcomes = await asyncio.gather(*map(writer.record, events), return_exceptions=True)
    assert [i for i, outcome in enumerate(outcomes) if isinstance(outcome, Unavailable)] == [7]
    [report] = await log.verify()
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
async def test_the_log_only_grows(pool: Pool, writer: Writer, statement: str, log: Log) -> None:
    await log.fill(writer, 2)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await pool.execute(statement)
    assert len(await tail(pool)) == 2


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
        "trace_id = ''",
        "at = at + interval '1 microsecond'",
        "payload = payload || ' '",
        "payload = 'not json'",
        "hash = sha256('x')",
        "prev = sha256('x')",
    ],
)
async def test_verify_finds_any_edit_and_says_where(writer: Writer, change: str, log: Log) -> None:
    await log.fill(writer, 5)
    await log.tamper(f"UPDATE federation_audit_log SET {change} WHERE seq = 3")
    [report] = await log.verify()
    assert (report.rows, report.broken_at) == (5, 3)
    assert "edited" in report.problem


async def test_verify_finds_a_row_rewritten_with_a_fitting_hash(pool: Pool, writer: Writer, log: Log) -> None:
    await log.fill(writer, 5)
    row = await pool.fetchrow("SELECT payload, prev FROM federation_audit_log WHERE seq = 3")
    forged = row["payload"].replace('"rows":3', '"rows":0')
    forged_hash = link(row["prev"], forged).hex()
    await log.tamper(
        f"UPDATE federation_audit_log SET rows = 0, payload = '{forged}', hash = '\\x{forged_hash}' WHERE seq = 3",
    )
    [report] = await log.verify()
    assert report.broken_at == 4
    assert "does not follow" in report.problem


@pytest.mark.parametrize(
    ("gone", "at", "missing"), [("1", 2, "row 1"), ("3", 4, "row 3"), ("2, 3", 4, "rows 2 to 3")]
)
async def test_verify_finds_a_gap(writer: Writer, gone: str, at: int, missing: str, log: Log) -> None:
    await log.fill(writer, 5)
    await log.tamper(f"DELETE FROM federation_audit_log WHERE seq IN ({gone})")
    [report] = await log.verify()
    assert (report.broken_at, report.problem) == (at, f"gap: {missing} missing")


async def test_nothing_is_acknowledged_while_the_table_is_gone_and_work_goes_on_after(
    pool: Pool, writer: Writer, log: Log, event: AuditEvent
) -> None:
    await log.fill(writer, 2)
    await pool.execute("ALTER TABLE federation_audit_log RENAME TO elsewhere")
    with pytest.raises(Unavailable, match="audit row"):
        await writer.record(event)
    await pool.execute("ALTER TABLE elsewhere RENAME TO federation_audit_log")
    await log.fill(writer, 2)
    assert all(report.broken_at is None for report in await log.verify())


async def test_a_table_that_blocks_is_given_up_in_bounded_time(
    pool: Pool, writer: Writer, monkeypatch: pytest.MonkeyPatch, log: Log, event: AuditEvent
) -> None:
    with monkeypatch.context() as impatient:
        impatient.setattr(mosaic_audit.writer, "PATIENCE", 0.3)
        async with pool.transaction() as other:
            await other.execute("LOCK TABLE federation_audit_log IN ACCESS EXCLUSIVE MODE")
            outcomes: list[Any] = await asyncio.gather(
                *(writer.record(event) for _ in range(5)), return_exceptions=True
            )
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
    await writer.record(event)
    assert all(report.broken_at is None for report in await log.verify())


async def test_what_was_given_up_is_not_kept_while_the_table_blocks(
    pool: Pool, writer: Writer, monkeypatch: pytest.MonkeyPatch, event: AuditEvent
) -> None:
    """Else a table that is locked for minutes would fill the memory with events that nobody waits for."""
    with monkeypatch.context() as impatient:
        impatient.setattr(mosaic_audit.writer, "PATIENCE", 0.2)
        impatient.setattr(mosaic_audit.writer, "BATCH", 1)
        async with pool.transaction() as other:
            await other.execute("LOCK TABLE federation_audit_log IN ACCESS EXCLUSIVE MODE")
            await asyncio.gather(*(writer.record(event) for _ in range(50)), return_exceptions=True)
            assert (len(writer._waiting), len(writer._unanswered)) == (0, 0)
    await writer.record(event)
