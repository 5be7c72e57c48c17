"""A log that release 0.1 wrote goes on: its rows stay where they are, as they are, and hold."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from mosaic_audit.chain import START, link
from mosaic_audit.checkpoints import sign_all
from mosaic_audit.plugin import mosaic_migrations
from mosaic_gateway.database import Pool, connect, open_pool
from mosaic_hookspecs.types import AuditEvent, DatabaseLocation, MigrationSet
from mosaic_migrations.runner import migrate

if TYPE_CHECKING:
    from conftest import Log

#: As release 0.1 wrote them, which knew no trace.
_INSERT = """
INSERT INTO federation_audit_log
SELECT r.stream, r.seq, r.at, r.peer, r.grant_id, r.subject_id, r.serial, r.verb, r.resource, r.query_hash,
       r.outcome, r.rows, r.bytes_out, r.latency_us, r.request_id, e.payload, e.prev, e.hash
FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS e (payload, prev, hash),
     jsonb_populate_record(NULL::federation_audit_log, e.payload::jsonb) AS r
"""


def rows_of_0_1(event: AuditEvent, count: int, stream: str, first: int = 1, head: bytes = START) -> list[Any]:
    rows = []
    for seq in range(first, first + count):
        at = (datetime.now(UTC) - timedelta(days=100 - seq)).isoformat(timespec="microseconds")
        said = asdict(event) | {"stream": stream, "seq": seq, "at": at}
        del said["trace_id"], said["direction"]
        payload = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
        rows.append((payload, head, link(head, payload)))
        head = rows[-1][2]
    return rows


@pytest.fixture
async def released(
    postgres: DatabaseLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Any]:
    """A connection to a database with the tables of 0.1."""
    package = tmp_path / "audit_0_1"
    package.mkdir()
    first = files("mosaic_audit.migrations") / "0001_log.pre.sql"
    (package / "__init__.py").touch()
    (package / "0001_log.pre.sql").write_bytes(first.read_bytes())
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "audit_0_1", raising=False)  # of the test before, whose folder is gone
    administration = await connect(postgres)
    await administration.execute("CREATE DATABASE audit_0_1")
    connection = await connect(DatabaseLocation(postgres.host, postgres.user, "audit_0_1"))
    await migrate(connection, [MigrationSet("audit", "audit_0_1")])
    yield connection
    await connection.close()
    await administration.execute("DROP DATABASE audit_0_1 WITH (FORCE)")
    await administration.close()


@pytest.fixture
async def upgraded(postgres: DatabaseLocation, released: Any, event: AuditEvent) -> AsyncIterator[Pool]:
    stream = str(uuid4())
    rows = rows_of_0_1(event, 5, stream)
    await released.execute(_INSERT, *map(list, zip(*rows, strict=True)))
    before = await released.fetch("SELECT * FROM federation_audit_log ORDER BY seq")
    assert await migrate(released, list(mosaic_migrations())) == [
        "audit/0002_months_and_checkpoints.pre",
        "audit/0003_asked.pre",
        "audit/0004_only_signed.pre",
    ]
    after = await released.fetch("SELECT * FROM federation_audit_log ORDER BY seq")
    assert [tuple(row)[:-2] for row in after] == [tuple(row) for row in before]
    # a process of 0.1 that still runs goes on
    more = rows_of_0_1(event, 2, stream, first=6, head=rows[-1][2])
    await released.execute(_INSERT, *map(list, zip(*more, strict=True)))
    async with open_pool(DatabaseLocation(postgres.host, postgres.user, "audit_0_1")) as pool:
        yield pool


async def test_rows_of_the_last_release_hold_beside_new_ones(log: Log, upgraded: Pool) -> None:
    log.host.database = log.pool = upgraded
    assert [(r.rows, r.broken_at) for r in await log.verify()] == [(7, None)]
    await log.fill(log.writer(), 3)
    await sign_all(log.host)
    assert sorted((r.rows, r.unsigned, r.broken_at) for r in await log.verify()) == [
        (1, 0, None), (3, 0, None), (7, 0, None),
    ]  # fmt: skip
    await log.tamper("UPDATE federation_audit_log SET trace_id = 'x' WHERE seq = 6")
    assert [r.broken_at for r in await log.verify() if r.problem] == [6]


async def test_an_empty_log_begins_with_this_month(released: Any) -> None:
    await migrate(released, list(mosaic_migrations()))
    parts = await released.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE relkind = 'r'"
    )
    assert [row[0] for row in parts] == [f"federation_audit_log_{datetime.now(UTC):%Y%m}"]
