"""Whatever is done to the log behind the gateway's back is found, and told where: checkpoints, retention, files."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

import mosaic_audit.checkpoints
from mosaic_audit.chain import Chain, link
from mosaic_audit.checkpoints import sign_all
from mosaic_audit.exported import Exported
from mosaic_audit.exporting import with_proof
from mosaic_audit.merkle import root_of
from mosaic_audit.plugin import mosaic_jobs
from mosaic_audit.retention import retire
from mosaic_audit.settings import Settings
from mosaic_audit.stored import Part, Stored
from mosaic_audit.verifying import Report, verify
from mosaic_audit.writer import Writer
from mosaic_gateway.database import Pool
from mosaic_gateway.sealing import Keyring, create_keys
from mosaic_hookspecs.audit import AuditCheckpoint
from mosaic_hookspecs.errors import ConfigError, Conflict, Malformed
from mosaic_hookspecs.jobs import perform
from mosaic_hookspecs.types import AuditEvent

if TYPE_CHECKING:
    from conftest import Log


def broken(reports: list[Report]) -> list[Report]:
    return [report for report in reports if report.broken_at is not None]


async def signed(log: Log) -> AuditCheckpoint:
    checkpoint = await sign_all(log.host)
    assert checkpoint is not None
    return checkpoint


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\1" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 100])
def test_the_tree_is_that_of_rfc_6962(count: int) -> None:
    leaves = [bytes([number]) * 3 for number in range(count)]
    assert root_of(leaves) == naive_root(leaves)


async def test_a_checkpoint_covers_all_streams_and_links_to_the_one_before(log: Log) -> None:
    writers = [log.writer() for _ in range(2)]
    await asyncio.gather(*(log.fill(writer, 3) for writer in writers))
    first = await signed(log)
    await log.fill(writers[0], 4)
    second = await signed(log)
    assert (first.number, first.content["rows"], second.number, second.content["rows"]) == (1, 6, 2, 4)
    assert second.content["prev"] == first.hash.hex()
    assert await signed(log) == second, "nothing new, nothing signed"
    reports = await log.verify()
    assert [(r.rows, r.unsigned, r.broken_at) for r in reports] == [
        (2, 0, None),
        (7, 0, None),
        (3, 0, None),
    ] or [(r.rows, r.unsigned, r.broken_at) for r in reports] == [(2, 0, None), (3, 0, None), (7, 0, None)]


async def test_whoever_has_the_public_key_can_check_a_checkpoint_elsewhere(log: Log, writer: Writer) -> None:
    await log.fill(writer, 2)
    checkpoint, key = await signed(log), await writer.key()
    assert checkpoint.is_by(key)
    assert not replace(checkpoint, payload=checkpoint.payload.replace('"rows":2', '"rows":1')).is_by(key)
    assert not checkpoint.is_by(bytes(32))
    assert await writer.head() == await writer.checkpoint(1) == checkpoint


async def test_two_processes_sign_one_after_the_other(log: Log) -> None:
    writers = [log.writer() for _ in range(3)]
    await asyncio.gather(*(log.fill(writer, 5) for writer in writers))
    await asyncio.gather(*(writer.head(fresh=True) for writer in writers))
    assert broken(await log.verify()) == []


async def test_a_long_log_takes_several_checkpoints(
    log: Log, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mosaic_audit.checkpoints, "MOST", 3)
    await log.fill(writer, 10)
    assert (await signed(log)).number == 4
    assert broken(await log.verify()) == []


async def test_so_many_rows_have_a_checkpoint_signed_at_once(log: Log) -> None:
    settings = log.host.settings(None).model_copy(update={"checkpoint_rows": 5})
    log.host.settings = lambda _: settings
    writer = log.writer()
    async with writer.signing_at_the_end():
        await log.fill(writer, 7)
    rows, *_ = await log.verify()
    assert rows.rows >= 1
    assert sum(report.unsigned for report in await log.verify()) == 0


async def test_rows_of_a_grant_can_be_asked_for(log: Log, writer: Writer, event: AuditEvent) -> None:
    await log.fill(writer, 3)
    await log.fill(writer, 1, grant_id=None)
    since = datetime.now(UTC) - timedelta(minutes=1)
    assert event.grant_id is not None
    rows = [row async for row in writer.rows_of(event.grant_id, since=since)]
    assert [(row.seq, row.request_id, row.trace_id) for row in rows] == [
        (n, f"r{n - 1}", event.trace_id) for n in (1, 2, 3)
    ]
    assert [row async for row in writer.rows_of(event.grant_id, since=since, until=since)] == []


@pytest.mark.parametrize("table", ["federation_audit_checkpoints", "federation_audit_spans"])
@pytest.mark.parametrize(
    "change", ["UPDATE {} SET checkpoint_or_number = 1", "DELETE FROM {}", "TRUNCATE {}"]
)
async def test_checkpoints_only_grow(log: Log, writer: Writer, pool: Pool, table: str, change: str) -> None:
    await log.fill(writer, 1)
    await signed(log)
    column = "number" if table.endswith("points") else "checkpoint"
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await pool.execute(change.format(table).replace("checkpoint_or_number", column))


async def test_partitions_only_grow_too(log: Log, writer: Writer, pool: Pool) -> None:
    await log.fill(writer, 1)
    month = await pool.fetchval("SELECT tableoid::regclass::text FROM federation_audit_log")
    for change in ("DELETE FROM {}", "TRUNCATE {}", "UPDATE {} SET rows = 0"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await pool.execute(change.format(month))


# Any tampering by someone who may do everything in the database, but has not the keys of the gateway.


class Attack:
    """Random harm to a log; ``at`` is where: a row of a stream, or a checkpoint."""

    def __init__(self, rows: list[Any], checkpoints: int, rng: random.Random) -> None:
        self.rng = rng
        self.rows = rows
        self.row = rng.choice(rows)
        self.checkpoint = rng.randint(1, checkpoints)

    def edit(self) -> list[str]:
        """Of one row, with a hash that fits, and with all that follow hashed anew, too."""
        stream = [dict(row) for row in self.rows if row["stream"] == self.row["stream"]]
        statements, head = [], None
        for row in stream[self.row["seq"] - 1 :]:
            row["prev"] = head or row["prev"]
            if row["seq"] == self.row["seq"]:
                row["payload"] = row["payload"].replace('"rows":3', '"rows":0')
            head = link(row["prev"], row["payload"])
            statements.append(
                f"UPDATE federation_audit_log SET payload = '{row['payload']}', "
                f"rows = ('{row['payload']}'::jsonb ->> 'rows')::bigint, "
                f"prev = '\\x{row['prev'].hex()}', hash = '\\x{head.hex()}' "
                f"WHERE stream = '{row['stream']}' AND seq = {row['seq']}"
            )
        return statements

    def delete(self) -> list[str]:
        return [self._where("DELETE FROM federation_audit_log")]

    def truncate(self) -> list[str]:
        return [
            f"DELETE FROM federation_audit_log WHERE stream = '{self.row['stream']}' AND seq >= {self.row['seq']}"
        ]

    def whole_stream(self) -> list[str]:
        """With what was signed of it."""
        stream = self.row["stream"]
        return [
            f"DELETE FROM {t} WHERE stream = '{stream}'"
            for t in ("federation_audit_log", "federation_audit_spans")
        ]

    def all_rows(self) -> list[str]:
        return ["DELETE FROM federation_audit_log"]

    def swap(self) -> list[str]:
        """Two neighbours change places, hashes and all."""
        stream, seq = self.row["stream"], max(self.row["seq"], 2)
        return [
            f"UPDATE federation_audit_log SET seq = CASE seq WHEN {a} THEN {b} ELSE {c} END "
            f"WHERE stream = '{stream}' AND seq IN ({w})"
            for a, b, c, w in ((seq, 1000, 1001, f"{seq}, {seq - 1}"), (1000, seq - 1, seq, "1000, 1001"))
        ]

    def to_another_stream(self) -> list[str]:
        other = next((r["stream"] for r in self.rows if r["stream"] != self.row["stream"]), None)
        return (
            [self._where(f"UPDATE federation_audit_log SET stream = '{other}'")] if other else self.delete()
        )

    def double(self) -> list[str]:
        columns = [key for key in self.row.keys() if key != "at"]  # noqa: SIM118  of a Record
        return [
            f"INSERT INTO federation_audit_log (at, {', '.join(columns)}) SELECT at + interval '1 us', "
            + self._where(f"{', '.join(columns)} FROM federation_audit_log")
        ]

    def checkpoint_edited(self) -> list[str]:
        return [
            "UPDATE federation_audit_checkpoints SET payload = replace(payload, '\"rows\":', '\"rows\":1') "
            f"WHERE number = {self.checkpoint}"
        ]

    def checkpoint_deleted(self) -> list[str]:
        return [f"DELETE FROM federation_audit_checkpoints WHERE number = {self.checkpoint}"]

    def checkpoints_cut(self) -> list[str]:
        return [f"DELETE FROM federation_audit_checkpoints WHERE number >= {self.checkpoint}"]

    def spans_shortened(self) -> list[str]:
        """So that it seems that nobody ever signed these rows."""
        return [*self.truncate(), f"DELETE FROM federation_audit_spans WHERE stream = '{self.row['stream']}'"]

    def given_up(self) -> list[str]:
        """Rows are said to be retired, without a signature."""
        row = self.row
        return [
            "INSERT INTO federation_audit_spans (checkpoint, stream, first, last, head, root, retired) VALUES "
            f"({self.checkpoint}, '{row['stream']}', 1, {row['seq']}, '\\x{row['hash'].hex()}', sha256(''), true)",
            f"DELETE FROM federation_audit_log WHERE stream = '{row['stream']}' AND seq <= {row['seq']}",
        ]

    def another_key(self) -> list[str]:
        return ["DELETE FROM federation_audit_keys"]

    def _where(self, start: str) -> str:
        return f"{start} WHERE stream = '{self.row['stream']}' AND seq = {self.row['seq']}"


#: What is harmed: the row's own stream from at most that row on, or the checkpoints.
IN_STREAM = ("edit", "delete", "truncate", "swap", "double")
ANYWHERE = (
    *(
        "whole_stream",
        "all_rows",
        "to_another_stream",
        "checkpoint_edited",
        "checkpoint_deleted",
        "checkpoints_cut",
    ),
    *("spans_shortened", "given_up", "another_key"),
)


@pytest.mark.parametrize("kind", [*IN_STREAM, *ANYWHERE])
async def test_any_tampering_with_what_was_signed_is_found_and_located(
    log: Log, pool: Pool, kind: str
) -> None:
    rng = random.Random(kind)
    checkpoints = 0
    for _ in range(rng.randint(2, 4)):
        for writer in [log.writer() for _ in range(rng.randint(1, 2))]:
            await log.fill(writer, rng.randint(2, 9))
        checkpoints = (await signed(log)).number
    assert broken(await log.verify()) == []
    rows = await pool.fetch("SELECT * FROM federation_audit_log ORDER BY stream, seq")
    for _ in range(6):
        attack = Attack(rows, checkpoints, rng)
        undo = pool.transaction()
        with pytest.raises(ZeroDivisionError):
            async with undo as sql:
                for table in ("log", "checkpoints", "spans"):
                    await sql.execute(f"ALTER TABLE federation_audit_{table} DISABLE TRIGGER ALL")
                for statement in getattr(attack, kind)():
                    await sql.execute(statement)
                await check(log, sql, attack, kind)
                raise ZeroDivisionError
    assert broken(await log.verify()) == []


async def check(log: Log, sql: Any, attack: Attack, kind: str) -> None:
    inside = type(log)(log.host, sql)
    found = broken(await inside.verify())
    assert found, (kind, attack.row["seq"], attack.checkpoint)
    if kind in IN_STREAM:
        [report] = found
        assert report.stream == attack.row["stream"]
        first = max(attack.row["seq"], 2) - 1 if kind == "swap" else attack.row["seq"]
        assert report.broken_at is not None
        # at the row itself, the one after it, or, where all were hashed anew, the end of what was signed together
        spans = await sql.fetch(
            "SELECT last FROM federation_audit_spans WHERE stream = $1 AND last >= $2 ORDER BY last",
            report.stream,
            first,
        )
        assert first <= report.broken_at <= max(first + 1, spans[0]["last"])
    if kind.startswith("checkpoint"):
        assert (found[0].stream, found[0].broken_at) == (None, attack.checkpoint)


async def test_rows_cut_off_with_their_checkpoints_show_against_one_kept_elsewhere(
    log: Log, writer: Writer
) -> None:
    await log.fill(writer, 3)
    await signed(log)
    await log.fill(writer, 3)
    kept = await signed(log)
    await log.tamper(
        "DELETE FROM federation_audit_log WHERE seq > 3",
        "DELETE FROM federation_audit_checkpoints WHERE number = 2",
        "DELETE FROM federation_audit_spans WHERE checkpoint = 2",
    )
    assert broken(await log.verify()) == [], "nothing in the database tells"
    [report] = broken(await log.verify(kept))
    assert (report.stream, report.broken_at, report.problem) == (None, 2, "missing: checkpoint 2")
    await log.fill(log.writer(), 1)
    await signed(log)
    [report] = broken(await log.verify(kept))
    assert (report.broken_at, "kept elsewhere" in report.problem) == (2, True)


async def test_a_key_that_this_gateway_did_not_seal_is_not_used(
    log: Log, writer: Writer, tmp_path: Path
) -> None:
    await log.fill(writer, 1)
    await signed(log)
    create_keys(tmp_path / "keys.json")
    forger = Keyring.read(tmp_path / "keys.json")
    number = await log.pool.fetchval("SELECT id FROM federation_audit_keys")
    forged = forger.seal(bytes(32), place=f"federation_audit_keys/{number}/key")
    await log.pool.execute("UPDATE federation_audit_keys SET sealed_key = $1", forged)
    await log.fill(writer, 1)
    with pytest.raises(ConfigError, match="sealed with a key"):
        await sign_all(log.host)
    await log.pool.execute("DELETE FROM federation_audit_keys")
    with pytest.raises(ConfigError, match="is gone"):
        await sign_all(log.host)
    with pytest.raises(ConfigError, match="is gone"):
        await writer.key()


# Retention


async def month_ago(log: Log, months: int, rows: int, writer: Writer | None = None) -> Writer:
    """Rows of a writer whose clock shows an earlier month."""
    writer = writer or log.writer()
    at = datetime.now(UTC).replace(day=1) - timedelta(days=30 * months - 14)

    with pytest.MonkeyPatch.context() as patch:
        clock = SimpleNamespace(now=lambda _: at, min=datetime.min)
        patch.setattr("mosaic_audit.writer.datetime", clock)
        await log.fill(writer, rows)
    return writer


async def aged(log: Log) -> Writer:
    """Two streams: one ended three months ago, one goes on until today."""
    await month_ago(log, 3, 4)
    writer = await month_ago(log, 3, 3)
    await signed(log)
    await month_ago(log, 2, 3, writer)
    await log.fill(writer, 2)
    return writer


def cutoff() -> datetime:
    return datetime.now(UTC).replace(day=1)


async def test_old_months_go_and_the_rest_can_still_be_verified(log: Log, pool: Pool) -> None:
    writer = await aged(log)
    before = [r.rows for r in await log.verify() if r.stream]
    assert sorted(before) == [4, 8]
    gone = await retire(log.host, cutoff())
    assert len(gone) == 2
    assert await pool.fetchval("SELECT count(*) FROM federation_audit_log") == 2
    await log.fill(writer, 1)
    await signed(log)
    reports = await log.verify()
    assert [(r.rows, r.broken_at) for r in reports if r.stream] == [(3, None)]
    assert reports[0].broken_at is None
    assert await retire(log.host, cutoff()) == []


async def test_old_months_go_by_themselves_and_have_hours_for_it(log: Log, pool: Pool) -> None:
    await aged(log)
    log.host.settings = lambda _: Settings(keep_days=1)
    offered = {job.name: job for job in mosaic_jobs(log.host)}
    await perform(offered, "audit.retain", {})
    assert await pool.fetchval("SELECT count(*) FROM federation_audit_log") == 2
    assert broken(await log.verify()) == []
    retain = offered["audit.retain"]
    assert retain.every is not None
    assert 3600 <= retain.timeout * retain.attempts < retain.every, "over before the next one begins"


@pytest.mark.parametrize(
    "harm", ["DELETE FROM federation_audit_log WHERE seq = 7", "DELETE FROM federation_audit_log"]
)
async def test_after_that_what_is_left_is_still_guarded(log: Log, harm: str) -> None:
    await aged(log)
    await retire(log.host, cutoff())
    await log.tamper(harm)
    [report] = broken(await log.verify())
    assert report.broken_at in (7, 8)


async def test_a_partition_that_is_dropped_by_hand_is_missed(log: Log, pool: Pool) -> None:
    await aged(log)
    await signed(log)
    oldest = await pool.fetchval("SELECT min(tableoid::regclass::text) FROM federation_audit_log")
    await pool.execute(f"DROP TABLE {oldest}")
    assert len(broken(await log.verify())) == 2


async def test_the_archive_is_verified_before_anything_is_dropped(log: Log, tmp_path: Path) -> None:
    writer = await aged(log)
    key, path = await writer.key(), tmp_path / "old.ndjson"

    async def archive(number: int) -> None:
        lines = with_proof(Stored(log.pool, Part(archive=number)), "work", key)
        path.write_text("".join([line async for line in lines]))

    await retire(log.host, cutoff(), archive)
    reports = await verify(Exported.open(path), key)
    assert sorted(r.rows for r in reports if r.stream) == [4, 6]
    assert broken(reports) == []
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    assert len(broken(await verify(Exported.open(path), key))) == 1


async def test_an_interrupted_end_of_a_month_goes_on(log: Log) -> None:
    await aged(log)

    async def full(_: int) -> None:
        raise Malformed("the disk is full", remedy="")

    with pytest.raises(Malformed):
        await retire(log.host, cutoff(), full)
    assert broken(await log.verify()) == []
    assert len(await retire(log.host, cutoff())) == 2
    assert broken(await log.verify()) == []


async def test_one_at_a_time_gives_up_old_months(log: Log) -> None:
    await aged(log)
    told: list[str] = []

    async def meanwhile(_: int) -> None:
        with pytest.raises(Conflict, match="by another process") as caught:
            await retire(log.host, cutoff())
        told.append(caught.value.remedy)

    assert len(await retire(log.host, cutoff(), meanwhile)) == 2
    assert len(told) == 1
    assert broken(await log.verify()) == []


async def test_nothing_is_dropped_under_a_reader_and_writers_go_on(log: Log) -> None:
    writer = await aged(log)
    async with log.pool.transaction() as reader:
        await reader.fetch("SELECT count(*) FROM federation_audit_log")
        with pytest.raises(Conflict, match="reads the log"):
            await retire(log.host, cutoff())
        await log.fill(writer, 1)
    assert broken(await log.verify()) == []


async def test_retention_signs_away_no_row_that_was_signed_and_is_gone(log: Log) -> None:
    """Recent rows are deleted, and an old one is given the number of the last of them: as if all were old."""
    await aged(log)
    await sign_all(log.host)
    await log.tamper(
        f"DELETE FROM federation_audit_log WHERE seq > 3 AND at >= '{cutoff()}'",
        "DELETE FROM federation_audit_log WHERE seq = 7",
        "UPDATE federation_audit_log SET seq = 8 WHERE seq = 6",
    )
    assert broken(await log.verify())
    with pytest.raises(Conflict, match="does not hold"):
        await retire(log.host, cutoff())
    assert broken(await log.verify()), "still seen"


async def test_an_edited_row_is_not_given_up(log: Log) -> None:
    await aged(log)
    await log.tamper("UPDATE federation_audit_log SET outcome = 'ok', rows = 0 WHERE seq = 2")
    with pytest.raises(Conflict, match="does not hold"):
        await retire(log.host, cutoff())
    assert len(broken(await log.verify())) == 2, "a failed retirement hides nothing"


async def test_an_archive_holds_no_row_after_its_end(log: Log, tmp_path: Path, event: AuditEvent) -> None:
    await aged(log)
    path, key = tmp_path / "log.ndjson", await log.writer().key()
    files: list[list[dict[str, Any]]] = []

    async def archive(number: int) -> None:
        lines = with_proof(Stored(log.pool, Part(archive=number)), "work", key)
        files.append([json.loads(line) async for line in lines])

    await retire(log.host, cutoff(), archive)
    [lines] = files
    last = lines[-1]
    fields = {"stream": last["stream"], "seq": last["seq"], "head": bytes.fromhex(last["hash"])}
    chain = Chain(**fields, at=datetime.fromisoformat(last["at"]))
    entry = chain.append(replace(event, outcome="forged"), datetime.now(UTC))
    lines.append(
        {"type": "row", **json.loads(entry.payload), "prev": entry.prev.hex(), "hash": entry.hash.hex()}
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert broken(await verify(Exported.open(path), key))


# Files


async def export(log: Log, path: Path, part: Part) -> bytes:
    key: bytes = await log.writer().key()
    path.write_text("".join([line async for line in with_proof(Stored(log.pool, part), "work", key)]))
    return key


async def test_an_exported_file_is_verified_without_the_gateway(log: Log, tmp_path: Path) -> None:
    for _ in range(2):
        for writer in (log.writer(), log.writer()):
            await log.fill(writer, 4)
        await signed(log)
    path = tmp_path / "log.ndjson"
    for part, rows in ((Part(), 16), (Part(base=1), 8)):
        key = await export(log, path, part)
        reports = await verify(Exported.open(path), key)
        assert (sum(r.rows for r in reports if r.stream), broken(reports)) == (rows, [])


@pytest.mark.parametrize("seed", range(8))
async def test_any_change_of_an_exported_file_is_found(log: Log, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(2):
        await log.fill(log.writer(), 4)
        await signed(log)
    path = tmp_path / "log.ndjson"
    key = await export(log, path, Part())
    whole = path.read_text().splitlines(keepends=True)
    for _ in range(30):
        lines = list(whole)
        number = rng.randrange(1, len(lines))
        match rng.randrange(3):
            case 0:
                del lines[number]
            case 1:
                lines[number - 1 : number + 1] = reversed(lines[number - 1 : number + 1])
                if (
                    json.loads(whole[number])["type"] != "row"
                    or json.loads(whole[number - 1])["type"] != "row"
                ):
                    continue  # the order of other lines says nothing
            case 2:
                fields = json.loads(lines[number])
                name = rng.choice([key for key in fields if key != "type"])
                fields[name] = changed(fields[name])
                lines[number] = json.dumps(fields) + "\n"
        path.write_text("".join(lines))
        try:
            found = broken(await verify(Exported.open(path), key))
        except Malformed:
            continue
        assert found, lines[number]


def changed(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if value is None:
        return "5b0e8a52-0b1e-4f0e-9f3a-7c1d2e3f4a5b"
    return value[:-1] + ("1" if value[-1:] != "1" else "2") if value else "x"
