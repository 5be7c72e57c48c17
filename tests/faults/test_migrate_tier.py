"""All rows arrive as they were, whatever they hold, and the target is a gateway's database like any other."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from mosaic_audit.stored import Stored
from mosaic_audit.verifying import verify
from mosaic_gateway.database import open_pool

if TYPE_CHECKING:
    from conftest import Home, Postgres


@dataclass(frozen=True)
class Moved:
    """Where the rows of ``filled`` are, and what the command reported."""

    url: str
    report: dict[str, Any]


@pytest.fixture(scope="module")
def moved(filled: Home, debian: Postgres) -> Moved:
    url = asyncio.run(debian.new_database())
    return Moved(url, filled.move(url))


async def test_embedded_to_debians_postgres_keeps_every_value_index_trigger_and_sequence(
    filled: Home, debian: Postgres, moved: Moved
) -> None:
    before = await filled.content()
    assert await debian.content(moved.url) == before
    assert await debian.structure(moved.url) == await filled.structure()
    assert {t["table"] for t in moved.report["tables"] if t["rows"]} == {
        name for name, told in before.items() if not told.startswith(("0 ", "("))
    }
    for table in moved.report["tables"]:
        assert table["source_hash"] == table["target_hash"]
        assert int(before[table["table"]].split()[0]) == table["rows"]


async def test_the_audit_chain_still_holds_and_still_refuses_changes(debian: Postgres, moved: Moved) -> None:
    async with open_pool(debian.location(moved.url)) as pool:
        [report] = await verify(Stored(pool), None)
        assert (report.rows, report.problem) == (500, "")
        for change in ("DELETE FROM", "TRUNCATE", "UPDATE"):
            tail = " SET peer = 'x'" if change == "UPDATE" else ""
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
                await pool.execute(f"{change} federation_audit_log{tail}")


async def test_a_second_complete_run_changes_nothing_and_says_so(
    filled: Home, debian: Postgres, moved: Moved
) -> None:
    async with debian.database(moved.url) as conn:
        before = await conn.fetch("SELECT oid, relfilenode FROM pg_class ORDER BY oid")
    report = filled.move(moved.url)
    assert (report["already_there"], report["rows_copied"]) == (True, 0)
    assert "nothing was changed" in filled.migrate(moved.url, "--yes")
    async with debian.database(moved.url) as conn:
        assert await conn.fetch("SELECT oid, relfilenode FROM pg_class ORDER BY oid") == before


async def test_new_rows_on_the_target_go_on_where_the_source_stopped(small: Home, debian: Postgres) -> None:
    url = await debian.new_database()
    await small.move_here(debian.location(url))
    async with small.database() as conn:
        largest = await conn.fetchval("SELECT max(id) FROM samples")
    async with debian.database(url) as conn:
        row = await conn.fetchrow("INSERT INTO samples (exact) VALUES (2) RETURNING id, twice, touched")
        assert tuple(row) == (largest + 7, 4, True)
        assert await conn.fetchval("SELECT nextval('sample_numbers')") == 78
        assert await conn.fetchval("SELECT reltuples FROM pg_class WHERE relname = 'tasks'") == 4000
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await conn.execute("DELETE FROM users")


async def test_embedded_to_federated_makes_the_extension_and_changes_nothing_else(
    small: Home, with_vector: Postgres
) -> None:
    url = await with_vector.new_database()
    async with with_vector.administration(url.rsplit("/", 1)[1]) as conn:
        await conn.execute("CREATE EXTENSION vector")
    small.move(url, to="federated")
    assert await with_vector.content(url) == await small.content()


async def test_standalone_to_federated_brings_vectors_and_their_index(
    standalone: Home, with_vector: Postgres
) -> None:
    url = await with_vector.new_database()
    async with with_vector.administration(url.rsplit("/", 1)[1]) as conn:
        await conn.execute("CREATE EXTENSION vector")
    report = standalone.move(url, to="federated")
    assert await with_vector.content(url) == await standalone.content()
    assert await with_vector.structure(url) == await standalone.structure()
    assert next(t["rows"] for t in report["tables"] if t["table"] == "sample_vectors") == 2000


async def test_a_target_that_an_empty_gateway_was_started_on_is_taken(small: Home, debian: Postgres) -> None:
    from mosaic_gateway.compose import compose
    from mosaic_gateway.config import read_config
    from mosaic_migrations.runner import migrate

    url = await debian.new_database()
    async with debian.database(url) as conn:
        await migrate(conn, compose(read_config(small.config)).migrations)
        await conn.execute("TRUNCATE sample_options")
    small.move(url)
    assert await debian.content(url) == await small.content()


async def test_the_plan_counts_rows_and_changes_nothing(filled: Home, debian: Postgres) -> None:
    url = await debian.new_database()
    plan = json.loads(filled.migrate(url, "--dry-run", "--json"))
    rows = {table["table"]: table["rows"] for table in plan["tables"]}
    assert (rows["tasks"], rows["notes"]) == (4000, 3)
    assert sorted(n for table, n in rows.items() if table.startswith("federation_audit_log_")) == [200, 300]
    assert plan["bytes"] > 30_000_000
    assert plan["estimated_seconds"] >= 1
    assert "tasks" in filled.migrate(url, "--dry-run")
    async with debian.database(url) as conn:
        assert await conn.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'mosaic%'") == 0


async def test_from_local_by_a_standalone_without_pgvector_to_federated(
    changing: Home, debian: Postgres, with_vector: Postgres
) -> None:
    """The tables of the tiers it was of before come along, whoever made them."""
    first, second = await debian.new_database(), await with_vector.new_database()
    before = await changing.content()
    async with with_vector.administration(second.rsplit("/", 1)[1]) as conn:
        await conn.execute("CREATE EXTENSION vector")
    changing.migrate(first, "--yes", "--write-config")
    plan = json.loads(changing.migrate(second, "--dry-run", "--json", to="federated"))
    assert any("embedded_ca: an authority inside the gateway" in note for note in plan["notes"])
    changing.move(second, to="federated")
    assert await with_vector.content(second) == before


async def test_memory_stays_bounded_whatever_a_row_holds(filled: Home, debian: Postgres) -> None:
    """Three notes of 10 MB and thousands of small rows. The bench has more of both, and the figure."""
    options = ("--to", "standalone", "--target", await debian.new_database(), "--yes", "--json")
    tool = filled.popen(
        "storage", "migrate-tier", *options
    )  # the program itself: a fork has what it was forked with
    assert json.loads(tool.communicate(timeout=100)[0])["peak_memory_mb"] < 64


async def test_the_config_is_changed_on_request_and_the_old_one_is_kept(
    filled: Home, debian: Postgres, tmp_path: Path
) -> None:
    url = await debian.new_database()
    secret = tmp_path / "password"
    secret.write_text(debian.password + "\n")
    secret.chmod(0o600)
    old = filled.config.read_text()
    try:
        filled.migrate(
            url, "--yes", "--write-config", "--target-password-file", str(secret), PGPASSWORD="wrong"
        )
        changed = json.loads(filled.config.read_text())
        assert changed["tier"] == "standalone"
        assert changed["storage"] == {"url": url, "password_file": str(secret)}
        assert changed["queue"] == {"url": "redis://localhost:6379/0"}
        assert debian.password not in filled.config.read_text()
        assert await filled.content() == await debian.content(url)  # the new config opens the new database
        kept = filled.config.with_name(f"{filled.config.name}.before-standalone")
        assert kept.read_text() == old
        filled.migrate(url, "--yes", "--write-config", "--target-password-file", str(secret))
    finally:
        filled.config.write_text(old)
