"""Attacks on the audit log by whoever writes to its tables, or to an exported file, and has no key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaic_audit.chain import Chain
from mosaic_audit.checkpoints import sign_all
from mosaic_audit.exported import Exported
from mosaic_audit.exporting import with_proof
from mosaic_audit.formats import FORMATS
from mosaic_audit.probe import probe
from mosaic_audit.retention import retire
from mosaic_audit.stored import Stored
from mosaic_audit.verifying import Report, verify
from mosaic_gateway.database import open_pool
from mosaic_hookspecs.errors import Malformed, Unavailable
from mosaic_hookspecs.types import AuditEvent, DatabaseLocation

if TYPE_CHECKING:
    from conftest import Log

Lines = list[dict[str, Any]]
ROW: dict[str, Any] = {
    "stream": UUID(int=1), "seq": 1, "at": datetime(2026, 11, 22, tzinfo=UTC), "grant_id": None, "subject_id": None,
    "rows": 1, "bytes_out": 1, "latency_us": 1, "direction": "answered", "verb": "list", "payload": "",
    "prev": b"", "hash": bytes(32),
}  # fmt: skip


def broken(reports: list[Report]) -> list[Report]:
    return [report for report in reports if report.broken_at is not None]


async def test_the_month_that_is_written_to_is_never_old(log: Log, event: AuditEvent) -> None:
    writer = log.writer()
    await writer.record(event)
    await retire(log.host, datetime.now(UTC) + timedelta(days=400))
    await writer.record(event)
    assert broken(await log.verify()) == []
    assert await log.pool.fetchval("SELECT count(*) FROM federation_audit_log") == 2


async def test_a_month_that_was_detached_is_named_and_nothing_is_answered(
    log: Log, event: AuditEvent, caplog: pytest.LogCaptureFixture
) -> None:
    writer = log.writer()
    await writer.record(event)
    assert (await probe(log.host).check()).status != "red"
    month = await log.pool.fetchval("SELECT tableoid::regclass::text FROM federation_audit_log")
    await log.pool.execute(f"ALTER TABLE federation_audit_log DETACH PARTITION {month}")
    for each in (writer, writer, log.writer()):
        with pytest.raises(Unavailable):
            await each.record(event)
    assert f"table {month} is no partition of the audit log any more" in caplog.text
    found = await probe(log.host).check()
    assert (found.status, month in found.detail, month in found.remedy) == ("red", True, True)
    await log.pool.execute(f"ALTER TABLE {month} RENAME TO elsewhere")
    await writer.record(event)
    assert (await probe(log.host).check()).status != "red"


async def test_a_clock_that_was_ahead_for_once_spoils_no_later_row(log: Log, event: AuditEvent) -> None:
    writer, ahead = log.writer(), datetime.now(UTC) + timedelta(days=40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mosaic_audit.writer.datetime", SimpleNamespace(now=lambda _: ahead))
        await writer.record(event)
    await log.fill(writer, 2)
    late = await log.pool.fetchval("SELECT count(*) FROM federation_audit_log WHERE at > now()")
    assert late == 1
    assert broken(await log.verify()) == []


async def test_rows_and_checkpoints_wait_for_the_disk_where_commits_do_not(
    log: Log, postgres: DatabaseLocation
) -> None:
    """What holds at the very end of a transaction holds for its commit."""
    name = await log.pool.fetchval("SELECT current_database()")
    await log.pool.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    await log.pool.execute("CREATE TABLE committed (of text, setting text)")
    await log.pool.execute(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO committed VALUES (TG_ARGV[0], current_setting('synchronous_commit')); RETURN NULL; END $$"
    )
    for table in ("log", "checkpoints"):
        await log.pool.execute(
            f"CREATE CONSTRAINT TRIGGER noted AFTER INSERT ON federation_audit_{table} "
            f"DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note('{table}')"
        )
    async with open_pool(replace(postgres, database=name)) as sessions:
        assert await sessions.fetchval("SHOW synchronous_commit") == "off"
        log.host.database = sessions
        await log.fill(log.writer(), 2)
        await sign_all(log.host)
        assert await sessions.fetchval("SHOW synchronous_commit") == "off"
        kept = await sessions.fetch("SELECT of, setting FROM committed ORDER BY of")
        found = await probe(log.host).check()
    assert [tuple(row) for row in kept] == [("checkpoints", "on"), ("log", "on"), ("log", "on")]
    assert (found.status, "synchronous_commit" in found.detail) == ("yellow", True)


async def test_writing_goes_on_when_the_partition_went(log: Log, event: AuditEvent) -> None:
    writer = log.writer()
    await writer.record(event)
    await log.pool.execute(
        f"DROP TABLE {await log.pool.fetchval('SELECT tableoid::regclass::text FROM federation_audit_log')}"
    )
    for _ in range(2):
        try:
            await writer.record(event)
        except Exception:  # the first says that it was not written
            continue
    assert await log.pool.fetchval("SELECT count(*) FROM federation_audit_log") == 1


@pytest.mark.parametrize("numbers", [[0], [-1], [0, 7], [7]])
async def test_no_span_that_nobody_signed_stands_for_rows(
    log: Log, tmp_path: Path, numbers: list[int]
) -> None:
    """Without the key one can say that rows were given up, under a number that no checkpoint has."""
    writer = log.writer()
    await log.fill(writer, 5)
    await sign_all(log.host)
    lines = [json.loads(line) async for line in with_proof(Stored(log.pool), "work", await writer.key())]
    forged = [
        "INSERT INTO federation_audit_spans SELECT "
        f"{number}, stream, 1, {5 - place}, (SELECT hash FROM federation_audit_log WHERE seq = {5 - place}), "
        "root, true FROM federation_audit_spans WHERE checkpoint = 1"
        for place, number in enumerate(numbers)
    ]
    check = "ALTER TABLE federation_audit_spans DROP CONSTRAINT federation_audit_spans_checkpoint_check"
    await log.tamper(check, *forged, "DELETE FROM federation_audit_log")
    [report] = broken(await log.verify())
    assert (report.stream, report.broken_at) == (None, min(numbers))
    span = next(line for line in lines if line["type"] == "span")
    spans = [{**span, "checkpoint": number, "retired": True} for number in numbers]
    path = tmp_path / "log.ndjson"
    kept = [line for line in lines if line["type"] != "row"] + spans
    path.write_text("".join(json.dumps(line) + "\n" for line in kept))
    [report] = broken(await verify(Exported.open(path), await writer.key()))
    assert (report.stream, report.broken_at) == (None, min(numbers))


async def test_checkpoints_are_numbered_from_1_for_whoever_may_only_add(log: Log) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await log.pool.execute(
            "INSERT INTO federation_audit_spans "
            "SELECT 0, gen_random_uuid(), 1, 1, sha256(''), sha256(''), true"
        )


def forged_rows(lines: Lines, event: AuditEvent) -> Lines:
    """Rows of nobody in place of all rows: a chain needs no key."""
    chain, rows = Chain.new(), []
    stream = next(line["stream"] for line in lines if line["type"] == "row")
    chain = replace(chain, stream=stream)
    for _ in range(4):
        entry = chain.append(replace(event, outcome="forged"), datetime.now(UTC))
        chain = chain.after(entry)
        rows.append(
            {"type": "row", **json.loads(entry.payload), "prev": entry.prev.hex(), "hash": entry.hash.hex()}
        )
    return [line for line in lines if line["type"] != "row"] + rows


def never_archived(lines: Lines, event: AuditEvent) -> Lines:
    lines[0]["archive"] = 999
    return forged_rows(lines, event)


def archived_a_word(lines: Lines, event: AuditEvent) -> Lines:
    lines[0]["archive"] = "1"
    return forged_rows(lines, event)


def base_of_the_future(lines: Lines, _: AuditEvent) -> Lines:
    lines[0]["base"] = 999
    return [line for line in lines if line["type"] != "row"]


def negative_base(lines: Lines, event: AuditEvent) -> Lines:
    lines[0] |= {"base": -1, "archive": -1}
    return forged_rows(lines, event)


@pytest.mark.parametrize("forge", [never_archived, archived_a_word, base_of_the_future, negative_base])
async def test_what_a_file_says_of_itself_takes_nothing_from_the_proof(
    log: Log, tmp_path: Path, event: AuditEvent, forge: Callable[[Lines, AuditEvent], Lines]
) -> None:
    writer = log.writer()
    await log.fill(writer, 4)
    await sign_all(log.host)
    path, key = tmp_path / "log.ndjson", await writer.key()
    whole = [json.loads(line) async for line in with_proof(Stored(log.pool), "work", key)]
    path.write_text("".join(json.dumps(line) + "\n" for line in forge(whole, event)))
    try:
        found = broken(await verify(Exported.open(path), key))
    except Malformed:
        return
    assert found


@pytest.mark.parametrize(
    "spoil",
    [
        lambda line: line.replace('"outcome": "ok"', '"outcome": "forbidden", "outcome": "ok"'),
        lambda line: '{"type":"row","x":' + "[" * 5000 + "]" * 5000 + "}\n",
        lambda line: line + '{"type":"log","key":"ed25519:' + "A" * 43 + '=","base":0,"archive":null}\n',
        lambda line: line + "[]\n",
    ],
)
async def test_a_line_that_two_readers_read_otherwise_is_refused(
    log: Log, tmp_path: Path, spoil: Callable[[str], str]
) -> None:
    """Of two fields with one name others take the first."""
    writer = log.writer()
    await log.fill(writer, 3)
    await sign_all(log.host)
    path, key = tmp_path / "log.ndjson", await writer.key()
    lines = [line async for line in with_proof(Stored(log.pool), "work", key)]
    path.write_text("".join([*lines[:-2], spoil(lines[-2]), lines[-1]]))
    with pytest.raises(Malformed, match="cannot be read"):
        Exported.open(path)


async def test_a_checkpoint_that_cannot_be_taken_apart_is_reported_and_not_stumbled_over(log: Log) -> None:
    await log.fill(log.writer(), 1)
    await sign_all(log.host)
    deep = "[" * 100_000
    await log.tamper(f"UPDATE federation_audit_checkpoints SET payload = '{deep}'")
    [report] = broken(await log.verify())
    assert (report.broken_at, report.problem) == (1, "edited: it cannot be read")


@pytest.mark.parametrize("form", sorted(FORMATS))
@given(text=st.text())
def test_no_field_ends_its_line_or_begins_another(form: str, text: str) -> None:
    """Though whoever is asked cleans what a peer names, the formats rely on nobody."""
    names = ("peer", "serial", "resource", "query_hash", "outcome", "request_id", "trace_id")
    row = ROW | dict.fromkeys(names, text + " src=1.2.3.4|x] [y")
    line = FORMATS[form](row)
    assert (line.splitlines(), line[-1]) == ([line[:-1]], "\n")
    if form == "syslog":
        fields = re.fullmatch(
            r'<\d+>1( [^ ]+){5} \[mosaic@99999(?: [a-z_]+="(?:[^"\\\]]|\\["\\\]])*")+\]\n', line
        )
    else:
        fields = re.fullmatch(r"CEF:0(\|[^|]*){6}\|(?: ?[A-Za-z0-9]+=(?:[^=\\]|\\[=\\])*)+\n", line)
        assert len(re.findall(r"(?<!\\)(?:\\\\)*=", line)) == len(
            re.findall(r"(?<!\\)(?:\\\\)*=", FORMATS[form](row | dict.fromkeys(names, "a")))
        )
    assert fields
