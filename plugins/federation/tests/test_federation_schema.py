"""The schema: from nothing, from the last release with its rows, and the same either way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from mosaic_gateway.database import Pool, connect, open_pool
from mosaic_hookspecs.types import DatabaseLocation, MigrationSet
from mosaic_migrations.runner import migrate, pending

RELEASE = Path(__file__).with_name("release_0_1.sql")

#: Months of the audit log come and go; those of before an upgrade are one.
NO_PARTITION = "{} NOT IN (SELECT {} FROM pg_class WHERE relispartition)"

#: Everything of a schema that queries can meet, in a form that does not depend on when it was made.
CATALOG = {
    "columns": """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity::text,
               a.attgenerated::text, a.attstorage::text, pg_get_expr(d.adbin, d.adrelid)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'mosaic'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition""",
    "constraints": f"""
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'mosaic'::regnamespace AND {NO_PARTITION.format("conrelid", "oid")}""",
    "indexes": f"""
        SELECT tablename, indexname, indexdef FROM pg_indexes
        WHERE schemaname = 'mosaic' AND {NO_PARTITION.format("tablename", "relname")}""",
    "enums": """
        SELECT t.typname, e.enumlabel, row_number() OVER (PARTITION BY t.oid ORDER BY e.enumsortorder)
        FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid WHERE t.typnamespace = 'mosaic'::regnamespace""",
    "functions": "SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'mosaic'::regnamespace",
    "triggers": f"""
        SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger
        WHERE NOT tgisinternal AND {NO_PARTITION.format("tgrelid", "oid")}""",
    "migrations": "SELECT component, version, phase, name, sha256 FROM mosaic.migrations",
}


async def catalog(connection: asyncpg.Connection) -> dict[str, set[tuple[Any, ...]]]:
    return {name: {tuple(row) for row in await connection.fetch(query)} for name, query in CATALOG.items()}


@pytest.fixture
async def released(postgres: DatabaseLocation) -> AsyncIterator[DatabaseLocation]:
    """The database as release 0.1 left it."""
    administration = await connect(postgres)
    await administration.execute("CREATE DATABASE released")
    location = replace(postgres, database="released")
    connection = await connect(location)
    await connection.execute("RESET search_path; " + RELEASE.read_text())
    await connection.close()
    yield location
    await administration.execute("DROP DATABASE released WITH (FORCE)")
    await administration.close()


@pytest.fixture
async def upgraded(released: DatabaseLocation, migration_sets: list[MigrationSet]) -> DatabaseLocation:
    connection = await connect(released)
    applied = await migrate(connection, migration_sets)
    assert "federation/0003_grant_changes.pre" in applied
    assert not [name for name in applied if "0001" in name]
    assert await pending(connection, migration_sets) == []
    await connection.close()
    return released


async def test_an_upgraded_schema_is_the_one_that_is_made_new(upgraded: DatabaseLocation, pool: Pool) -> None:
    connection = await connect(upgraded)
    old = await catalog(connection)
    await connection.close()
    new = {name: {tuple(row) for row in await pool.fetch(query)} for name, query in CATALOG.items()}
    assert old == new
    statuses = [
        label for kind, label, _ in sorted(new["enums"], key=lambda e: e[2]) if kind == "grant_status"
    ]
    assert statuses == ["pending", "active", "quarantined", "revoked", "expired"]
    assert {kind for kind, *_ in new["enums"]} >= {"grant_status", "grant_change", "peer_state"}
    columns = {(table, column) for table, column, *_ in new["columns"]}
    assert columns >= {
        ("federation_audit_log", name) for name in ("query_hash", "outcome", "bytes_out")
    }  # fmt: skip
    assert {table for table, _ in columns} >= {
        "federation_grants", "federation_peers", "federation_enrollment_tokens", "federation_audit_log",
    }  # fmt: skip


async def test_no_row_of_the_last_release_is_lost_or_changed(
    released: DatabaseLocation, migration_sets: list[MigrationSet]
) -> None:
    connection = await connect(released)
    tables = [
        row[0]
        for row in await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'mosaic'::regnamespace AND relkind = 'r'"
            " AND relname <> 'migrations'"
        )
    ]

    async def rows() -> dict[str, list[dict[str, Any]]]:
        found = {}
        for table in tables:
            texts = await connection.fetch(f'SELECT to_jsonb(t)::text FROM mosaic."{table}" t')
            found[table] = sorted((json.loads(text) for (text,) in texts), key=str)
        return found

    before = await rows()
    await migrate(connection, migration_sets)
    after = await rows()
    await connection.close()
    assert sum(map(len, before.values())) > 30
    for table, old in before.items():
        kept = [{key: row[key] for key in old[0]} for row in after[table]] if old else []
        for row in (*old, *kept):
            row.pop("search_vector", None)  # made of the others, and otherwise from now on
            if table == "federation_grants":
                row["scope"].pop("expires_at", None)  # it repeats the column from now on
                for key in ("resources", "excluded_resources", "include_teams"):  # each value once
                    if isinstance(row["scope"][key], list):
                        row["scope"][key] = sorted(set(row["scope"][key]))
        assert sorted(kept, key=str) == sorted(old, key=str), table


async def test_new_code_reads_what_the_last_release_wrote(
    upgraded: DatabaseLocation, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_pool(upgraded) as pool:
        monkeypatch.setattr(world.gateway, "database", pool)
        for part in (world.host.rows, world.host.identity):
            monkeypatch.setattr(part, "_db", pool)
        monkeypatch.setattr(world.host.rows, "_peers", pool)
        grants = {grant.id: grant for grant in await world.grants.all()}
        states = sorted(grant.status for grant in grants.values())
        assert states == ["active", "active", "expired", "expired", "pending", "pending", "revoked"]
        for grant in grants.values():
            history = await world.grants.history(grant.id)
            assert history[0].change == "created"
            assert history[-1].version == grant.version
            assert [each.version for each in history] == list(range(1, grant.version + 1))
            assert await world.grants.words(grant)
            assert grant.scope.expires_at == grant.expires_at
            assert grant.scope.fields == {}
        [revoked] = [grant for grant in grants.values() if grant.status == "revoked"]
        last = (await world.grants.history(revoked.id))[-1]
        assert (last.change, last.actor, last.reason) == ("revoked", "cli:root", "project ended")
        [bounded] = [grant for grant in grants.values() if grant.peer_name == "guest"]
        assert bounded.expires_at is not None
        updated = await world.grants.revoke(bounded.id, actor="root")
        assert updated.version == 2
        active = next(grant for grant in grants.values() if grant.scope.max_rows_per_query == 50)
        listing = await world.host.rows.list(active.view, "tasks", {})
        assert listing.rows == 3  # of four one is excluded
