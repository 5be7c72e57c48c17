"""What the doctor says of a shared table, and what happens when it changes or is large."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from mosaic_gateway.resources import ResourceRows
from mosaic_hookspecs.errors import Unavailable
from mosaic_tables.discovery import Tables
from mosaic_tables.probe import examine
from mosaic_tables.settings import Settings, SharedTable


@pytest.fixture
def look(pool, orders):
    async def look(**changed):
        async with pool.transaction() as sql:
            return await examine(sql, "orders", SharedTable.model_validate(orders(**changed)))

    return look


async def test_before_the_first_start_the_view_is_missed(look):
    finding = await look()
    assert (finding.status, finding.remedy) == ("red", "start the gateway: it makes it then")


async def test_a_shared_table_is_green(share, look):
    await share()
    finding = await look()
    assert (finding.status, finding.detail) == ("green", "sales.orders, 4 columns, read only")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("ALTER TABLE sales.orders RENAME notes TO remarks", "sales.orders has no column 'notes'"),
        ("ALTER TABLE sales.orders ADD more text", "sales.orders or its config has changed since"),
        ("ALTER TABLE sales.orders RENAME TO old_orders", "there is no table or view sales.orders"),
        (
            "DROP VIEW orders; ALTER TABLE sales.orders ALTER notes TYPE point USING NULL",
            "'notes' is of type point",
        ),
        ("ALTER TABLE sales.orders DROP notes CASCADE", "sales.orders has no column 'notes'"),
        ("DROP TABLE sales.orders CASCADE", "there is no table or view sales.orders"),
    ],
    ids=range(6),
)
async def test_a_change_of_the_table_is_told(share, look, pool, change, told):
    await share()
    await pool.execute(change)
    finding = await look()
    assert finding.status == "red"
    assert told in finding.detail
    assert finding.remedy


async def test_policies_that_a_superuser_passes_by_are_told(share, look, pool):
    await share()
    await pool.execute("ALTER TABLE sales.orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    finding = await look()
    assert (finding.status, "row-level security of sales.orders" in finding.detail) == ("yellow", True)
    assert "BYPASSRLS" in finding.remedy


class Enough(Exception):
    """Undoes all that the transaction did: a role is the whole server's."""


async def test_policies_that_the_tables_owner_passes_by_are_told_until_they_are_forced(pool, orders):
    shared = orders()
    with pytest.raises(Enough):
        async with pool.transaction() as sql:
            for statement in (
                "CREATE ROLE shopkeeper",
                "GRANT USAGE, CREATE ON SCHEMA mosaic, sales TO shopkeeper",
                "GRANT SELECT ON ALL TABLES IN SCHEMA mosaic TO shopkeeper",
                "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA mosaic TO shopkeeper",
                "ALTER TABLE sales.orders OWNER TO shopkeeper",
                "SET LOCAL ROLE shopkeeper",
            ):
                await sql.execute(statement)
            await Tables(Settings.model_validate({"resources": {"orders": shared}})).find(sql)
            table = SharedTable.model_validate(shared)
            assert (await examine(sql, "orders", table)).status == "green"
            await sql.execute("ALTER TABLE sales.orders ENABLE ROW LEVEL SECURITY")
            finding = await examine(sql, "orders", table)
            assert (finding.status, "is its owner" in finding.detail) == ("yellow", True)
            await sql.execute(finding.remedy.partition(";")[0])
            assert (await examine(sql, "orders", table)).status == "green"
            raise Enough


async def test_another_table_in_its_place_is_noticed_and_read_after_a_start(share, look, pool, lead, keys):
    await share()
    await pool.execute(
        "ALTER TABLE sales.orders RENAME TO old_orders; CREATE TABLE sales.orders (LIKE sales.old_orders INCLUDING ALL)"
    )
    assert "has changed since" in (await look()).detail
    assert await keys(await share(), lead) == []


async def test_rows_that_cannot_be_read_any_more_are_unavailable_and_the_reason_stays_here(
    share, lead, grant, pool
):
    rows, view = await share(), await grant()
    await pool.execute("DROP TABLE sales.orders CASCADE")
    for viewer in (lead, view):
        for question in (
            lambda viewer=viewer: rows.list(viewer, "orders", {}),
            lambda viewer=viewer: rows.search(viewer, "orders", {"q": "x"}),
            lambda viewer=viewer: rows.get(viewer, "orders", str(UUID(int=0))),
        ):
            with pytest.raises(Unavailable) as refusal:
                await question()
            assert "sales" not in str(refusal.value)


@pytest.fixture
async def many(pool, share, lead):
    """Enough rows for an index to matter."""
    await pool.execute(
        "INSERT INTO sales.orders (order_no, account, team_slug, title, notes, amount, placed_at)"
        " SELECT 'X-' || n, CASE WHEN n % 500 = 0 THEN 'lead' ELSE 'client' END, NULL, 'Order ' || n,"
        " repeat('filler ', 10), n, now() - n * interval '1 minute' FROM generate_series(1, 8000) n"
    )
    return await share()


async def test_the_doctor_says_which_indexes_help_until_they_are_there(many, look, pool):
    finding = await look()
    assert finding.status == "yellow"
    wanted = finding.remedy.split("; ")
    assert [sql.split(" ON ")[0] for sql in wanted] == ["CREATE INDEX CONCURRENTLY"] * 4
    for statement in wanted:
        await pool.execute(statement)
    await pool.execute("ANALYZE sales.orders")
    assert (await look()).status == "green"


def steps(plan):
    yield plan["Node Type"], plan.get("Relation Name")
    for inner in plan.get("Plans", ()):
        yield from steps(inner)


class Planned:
    """Reads, and keeps of each question how Postgres went about it."""

    def __init__(self, pool):
        self.pool = pool
        self.plans = []

    async def fetch(self, query, *args):
        [row] = await self.pool.fetch(f"EXPLAIN (FORMAT JSON) {query}", *args)
        self.plans.append(set(steps(json.loads(row[0])[0]["Plan"])))
        return await self.pool.fetch(query, *args)

    async def fetchrow(self, query, *args):
        return next(iter(await self.fetch(query, *args)), None)


async def test_with_those_indexes_no_question_reads_the_whole_table(many, look, pool, lead, grant, id_of):
    """Of users and of grants: a single row, a page, a search."""
    for statement in (await look()).remedy.split("; "):
        await pool.execute(statement)
    await pool.execute("ANALYZE")
    users, peers = Planned(pool), Planned(many._peers)
    rows = ResourceRows(users, [many.resource("orders")], lambda: [b"k" * 32], peers)
    for viewer in (lead, await grant(include_teams="all")):
        await rows.get(viewer, "orders", id_of("X-500"))
        assert (await rows.list(viewer, "orders", {"limit": "7"})).rows == 7
        assert (await rows.search(viewer, "orders", {"q": "filler", "limit": "7"})).rows == 7
    for plan in (*users.plans, *peers.plans):
        assert ("Seq Scan", "orders") not in plan
        assert any(relation == "orders" for _, relation in plan)
    assert (len(users.plans), len(peers.plans)) == (3, 3)
