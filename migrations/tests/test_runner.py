from __future__ import annotations

import asyncio

import asyncpg
import pytest

from mosaic_hookspecs.errors import ConfigError, Unavailable
from mosaic_hookspecs.types import MigrationSet
from mosaic_migrations import runner
from mosaic_migrations.runner import migrate, pending


async def tables(conn: asyncpg.Connection) -> list[str]:
    rows = await conn.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'mosaic' ORDER BY 1")
    return [row["tablename"] for row in rows if row["tablename"] != "migrations"]


async def test_applies_each_file_once_in_order_of_version_and_phase(conn, package):
    core = package("core")
    core.write("0002_more.post.sql", "ALTER TABLE a ADD z int")
    core.write("0002_more.pre.sql", "ALTER TABLE a ADD y int")
    core.write("0001_first.pre.sql", "CREATE TABLE a (x int)")
    names = ["core/0001_first.pre", "core/0002_more.pre", "core/0002_more.post"]

    assert await pending(conn, [core.set]) == names
    assert await migrate(conn, [core.set]) == names
    assert await pending(conn, [core.set]) == []
    assert await migrate(conn, [core.set]) == []
    assert await tables(conn) == ["a"]


async def test_pending_changes_nothing(conn, package):
    await pending(conn, [package("core").write("0001_a.pre.sql", "CREATE TABLE a ()").set])
    assert await conn.fetchval("SELECT to_regnamespace('mosaic')") is None


async def test_files_find_their_tables_whatever_the_callers_search_path_and_leave_it_as_it_was(conn, package):
    await conn.execute("SET search_path = pg_catalog")
    await migrate(conn, [package("core").write("0001_a.pre.sql", "CREATE TABLE a ()").set])
    assert await tables(conn) == ["a"]
    assert await conn.fetchval("SHOW search_path") == "pg_catalog"


async def test_records_component_version_phase_name_and_digest(conn, package):
    await migrate(conn, [package("core").write("0007_seven_up.post.sql", "SELECT 1").set])
    row = await conn.fetchrow("SELECT * FROM mosaic.migrations")
    assert (row["component"], row["version"], row["phase"], row["name"]) == ("core", 7, "post", "seven_up")
    assert row["sha256"] == "e004ebd5b5532a4b85984a62f8ad48a81aa3460c1ca07701f386135d72cdecf5"
    assert row["applied_at"] is not None


async def test_a_requirement_is_applied_first_and_no_earlier_than_needed(conn, package):
    core, notes = package("core"), package("notes")
    core.write("0001_a.pre.sql", "CREATE TABLE a ()").write("0002_b.pre.sql", "CREATE TABLE b ()")
    core.write("0002_b.post.sql", "CREATE TABLE c ()")
    notes.write("0001_n.pre.sql", "-- requires: core>=2\nALTER TABLE c ADD n int")
    applied = await migrate(conn, [notes.set, core.set])
    assert applied.index("notes/0001_n.pre") > applied.index("core/0002_b.post")


async def test_two_plugins_may_require_parts_of_each_other(conn, package):
    one, two = package("one"), package("two")
    one.write("0001_a.pre.sql", "CREATE TABLE a ()")
    two.write("0001_b.pre.sql", "-- requires: one>=1\nALTER TABLE a ADD b int")
    one.write("0002_c.pre.sql", "-- requires: two>=1\nALTER TABLE a DROP b")
    assert await migrate(conn, [two.set, one.set]) == ["one/0001_a.pre", "two/0001_b.pre", "one/0002_c.pre"]


async def test_a_cycle_is_refused_before_anything_is_applied(conn, package):
    one = package("one").write("0001_a.pre.sql", "-- requires: two>=1\nSELECT 1")
    two = package("two").write("0001_b.pre.sql", "-- requires: one>=1\nSELECT 1")
    with pytest.raises(ConfigError, match=r"one/0001_a\.pre\.sql.*two/0001_b\.pre\.sql"):
        await migrate(conn, [one.set, two.set])
    assert await conn.fetchval("SELECT to_regclass('mosaic.migrations')") is None


async def test_a_requirement_nobody_brings_is_refused(conn, package):
    core = package("core").write("0001_a.pre.sql", "CREATE TABLE a ()")
    notes = package("notes").write("0001_n.pre.sql", "-- requires: core>=1, vectors>=3\nSELECT 1")
    with pytest.raises(ConfigError, match=r"notes/0001_n\.pre\.sql requires vectors>=3") as caught:
        await migrate(conn, [core.set, notes.set])
    assert "install" in caught.value.remedy
    assert await pending(conn, [core.set]) == ["core/0001_a.pre"]


async def test_a_requirement_applied_long_ago_counts_even_if_its_plugin_is_absent(conn, package):
    core = package("core").write("0001_a.pre.sql", "CREATE TABLE a ()")
    await migrate(conn, [core.set])
    notes = package("notes").write("0001_n.pre.sql", "-- requires: core>=1\nSELECT 1")
    assert await migrate(conn, [notes.set]) == ["notes/0001_n.pre"]


async def test_a_failing_file_is_named_and_leaves_the_earlier_ones_and_nothing_of_itself(conn, package):
    core = package("core").write("0001_a.pre.sql", "CREATE TABLE a (x int)")
    core.write("0002_b.pre.sql", "CREATE TABLE b ();\n\nALTER TABLE nowhere ADD y int;")
    core.write("0003_c.pre.sql", "CREATE TABLE c ()")
    with pytest.raises(ConfigError, match=r'core/0002_b\.pre\.sql failed.*"nowhere" does not exist'):
        await migrate(conn, [core.set])
    assert await tables(conn) == ["a"]

    core.write("0002_b.pre.sql", "CREATE TABLE b ()")
    assert await migrate(conn, [core.set]) == ["core/0002_b.pre", "core/0003_c.pre"]


async def test_a_syntax_error_is_given_with_its_line(conn, package):
    core = package("core").write("0001_a.pre.sql", "SELECT 1;\n-- ä\nSELEC 2;")
    with pytest.raises(ConfigError, match=r"\(line 3\).*syntax error"):
        await migrate(conn, [core.set])


async def test_rows_are_never_quoted_in_an_error(conn, package):
    core = package("core").write("0001_a.pre.sql", "CREATE TABLE a (x text); INSERT INTO a VALUES ('s3cret')")
    await migrate(conn, [core.set])
    core.write("0002_b.pre.sql", "INSERT INTO a VALUES ('s3cret'); CREATE UNIQUE INDEX ON a (x)")
    with pytest.raises(ConfigError) as caught:
        await migrate(conn, [core.set])
    assert "s3cret" not in str(caught.value)


async def test_an_edited_file_is_refused(conn, package):
    core = package("core").write("0001_a.pre.sql", "CREATE TABLE a ()")
    await migrate(conn, [core.set])
    core.write("0001_a.pre.sql", "CREATE TABLE a (x int)")
    for look in (pending, migrate):
        with pytest.raises(ConfigError, match=r"core/0001_a\.pre\.sql was edited"):
            await look(conn, [core.set])


async def test_a_database_newer_than_the_software_is_refused(conn, package):
    core = package("core").write("0001_a.pre.sql", "SELECT 1").write("0002_later.pre.sql", "SELECT 1")
    await migrate(conn, [core.set])
    (core.path / "0002_later.pre.sql").unlink()
    with pytest.raises(ConfigError, match=r"newer than the software.*core/0002_later\.pre\.sql"):
        await migrate(conn, [core.set])


async def test_tables_of_an_absent_plugin_stay_and_it_may_come_back(conn, package):
    core = package("core").write("0001_a.pre.sql", "CREATE TABLE a ()")
    notes = package("notes").write("0001_n.pre.sql", "CREATE TABLE n ()")
    await migrate(conn, [core.set, notes.set])
    assert await migrate(conn, [core.set]) == []
    notes.write("0002_n.pre.sql", "ALTER TABLE n ADD x int")
    assert await migrate(conn, [core.set, notes.set]) == ["notes/0002_n.pre"]


async def test_a_marked_file_runs_outside_a_transaction(conn, package):
    core = package("core").write("0001_a.pre.sql", "CREATE TABLE a (x int)")
    core.write("0002_i.post.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS a_x ON a (x)")
    await migrate(conn, [core.set])
    assert await conn.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'mosaic.a_x'::regclass")


async def test_many_runners_at_once_apply_each_file_once(connect, package):
    core = package("core")
    for number in range(1, 6):
        core.write(f"{number:04}_t.pre.sql", f"CREATE TABLE t{number} (); SELECT pg_sleep(0.02)")
    core.write("0006_i.post.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY t1_i ON t1 ((1))")

    async def one() -> list[str]:
        async with connect() as conn:
            return await migrate(conn, [core.set])

    results = await asyncio.gather(*(one() for _ in range(6)))
    assert sorted(map(len, results)) == [0, 0, 0, 0, 0, 6]


async def test_waiting_for_another_runner_ends_with_a_clear_error(conn, connect, package, monkeypatch):
    monkeypatch.setattr(runner, "LOCK_WAIT", 0.2)
    core = package("core").write("0001_a.pre.sql", "CREATE TABLE a ()")
    async with connect() as other:
        await other.fetchval("SELECT pg_advisory_lock($1)", runner.LOCK_ID)
        with pytest.raises(Unavailable, match="another process has been migrating"):
            await migrate(conn, [core.set])
    assert await migrate(conn, [core.set]) == ["core/0001_a.pre"]


async def test_the_lock_is_free_again_after_a_failure(conn, connect, package):
    core = package("core").write("0001_a.pre.sql", "nonsense")
    with pytest.raises(ConfigError):
        await migrate(conn, [core.set])
    async with connect() as other:
        assert await other.fetchval("SELECT pg_try_advisory_lock($1)", runner.LOCK_ID)


async def test_a_lost_connection_is_unavailable_and_leaves_nothing_half_done(conn, connect, package):
    core = package("core").write("0001_a.pre.sql", "CREATE TABLE a (); SELECT pg_sleep(30)")
    pid = await conn.fetchval("SELECT pg_backend_pid()")
    task = asyncio.create_task(migrate(conn, [core.set]))
    async with connect() as other:
        working = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND query LIKE 'CREATE TABLE a%'"
        while not await other.fetchval(working, pid):
            pass
        await other.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(Unavailable, match=r"core/0001_a\.pre\.sql"):
            await task
        assert await tables(other) == []


@pytest.mark.parametrize("name", ["1_a.pre.sql", "0001_a.sql", "0001-a.pre.sql", "0001_a.mid.sql"])
async def test_a_misnamed_file_is_refused(conn, package, name):
    with pytest.raises(ConfigError, match="misnamed"):
        await migrate(conn, [package("core").write(name, "").set])


@pytest.mark.parametrize("sql", ["", "\n \n", "-- requires: core>=1\n  -- nothing else"])
async def test_a_file_without_a_statement_is_refused(conn, package, sql):
    with pytest.raises(ConfigError, match=r"0001_a\.pre\.sql.*no statement"):
        await migrate(conn, [package("core").write("0001_a.pre.sql", sql).set])


async def test_two_files_of_one_number_are_refused(conn, package):
    core = package("core").write("0001_a.pre.sql", "SELECT 1").write("0001_b.pre.sql", "SELECT 1")
    with pytest.raises(ConfigError, match=r"0001_a.*0001_b.*same number"):
        await migrate(conn, [core.set])


async def test_an_unreadable_requirement_is_refused(conn, package):
    core = package("core").write("0001_a.pre.sql", "-- requires: core > 2\nSELECT 1")
    with pytest.raises(ConfigError, match="cannot read '-- requires"):
        await migrate(conn, [core.set])


async def test_a_package_that_is_not_there_is_refused(conn):
    with pytest.raises(ConfigError, match="no package 'no_such_package'"):
        await migrate(conn, [MigrationSet("core", "no_such_package")])
