"""A table that cannot be shared as configured stops the start, with every cause and what to do about it."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import ValidationError

from mosaic_gateway.resources import discover
from mosaic_hookspecs.errors import ConfigError
from mosaic_tables.discovery import Tables
from mosaic_tables.settings import Settings, table_name


def told(error: ConfigError) -> dict[str, str]:
    return {fault.where.removeprefix("plugins.tables.resources."): fault.message for fault in error.faults}


@pytest.fixture
def refused(share):
    async def refused(**tables) -> dict[str, str]:
        with pytest.raises(ConfigError) as error:
            await share(**tables)
        assert error.value.remedy
        return told(error.value)

    return refused


async def test_every_fault_of_every_table_is_told_at_once(refused, orders, pool):
    await pool.execute("ALTER TABLE sales.orders ADD place point, ADD rank integer")
    faults = await refused(
        gone=orders(table="sales.gone"),
        orders=orders(
            id="title",
            owner="rank",
            team="teem",
            columns=["title", "place", "rank"],
            search=["rank"],
            created_at="paid",
        ),
    )
    assert faults == {
        "gone.table": "there is no table or view sales.gone",
        "orders.id": "no unique index or primary key is on 'title' alone: two rows could be one",
        "orders.owner": "'rank' is of type integer, and a name is a text",
        "orders.team": "sales.orders has no column 'teem'; it has order_no, account, team_slug, title, notes, amount,"
        " paid, placed_at, card_number, place, rank",
        "orders.created_at": "'paid' is of type boolean, and a time is a timestamp or a date",
        "orders.columns.place": "'place' is of type point, and rows cannot be shared with one: leave it out, or share"
        " a view of yours that casts it to text",
        "orders.search.rank": "'rank' is of type integer, and a search looks through texts",
    }


async def test_a_name_of_the_gateways_own_is_refused_and_nothing_is_made(refused, orders, pool):
    faults = await refused(orders=orders(), users=orders())
    assert faults == {"users": "the gateway has a table of its own with this name"}
    assert await pool.fetchval("SELECT to_regclass('mosaic.orders')") is None
    assert await pool.fetchval("SELECT count(*) FROM users") == 0


async def test_a_name_of_another_resource_is_refused(share, pool, postgres, orders):
    rows = await share()
    tables = Tables(Settings.model_validate({"resources": {"orders": orders()}}))
    with pytest.raises(ConfigError, match="resource 'orders' of plugin 'tables' is there already"):
        async with pool.transaction() as sql:
            await discover(sql._target, [rows.resource("orders")], [("tables", tables)])


async def test_what_the_role_may_not_read_is_told_with_the_grant_that_mends_it(pool, orders):
    """The gateway's role, as on a server where the tables are others'."""
    tables = Tables(Settings.model_validate({"resources": {"orders": orders()}}))
    await pool.execute("DO $$BEGIN CREATE ROLE plain_gateway; EXCEPTION WHEN duplicate_object THEN END$$")
    grants: list[str] = []
    async with pool.transaction() as sql:
        for wanted in ("GRANT USAGE ON SCHEMA sales TO", "GRANT SELECT (account, amount, notes, order_no"):
            await sql.execute("SET LOCAL ROLE plain_gateway")
            with pytest.raises(ConfigError) as error:
                await tables.find(sql)
            [remedy] = [text for text in told(error.value).values() if "as its owner" in text]
            grants.append(remedy.partition("as its owner: ")[2])
            assert grants[-1].startswith(wanted)
            await sql.execute("RESET ROLE")
            await sql.execute(grants[-1])
        assert "card_number" not in grants[-1]
        await sql.execute("DROP OWNED BY plain_gateway; DROP ROLE plain_gateway")


@pytest.mark.parametrize(
    "table",
    [
        *(
            "orders",
            "sales.",
            "a.b.c",
            "sales.orders; DROP TABLE users",
            'sales."orders',
            "sales.orders--",
            "",
            ".",
        ),
        *(
            "mosaic.users",
            "pg_catalog.pg_authid",
            '"mosaic".secrets',
            "information_schema.tables",
            'a."b\x00"',
        ),
    ],
    ids=range(13),
)
def test_what_names_no_table_of_the_operators_is_no_config(table, orders):
    with pytest.raises(ValidationError):
        Settings.model_validate({"resources": {"orders": orders(table=table)}})


def test_names_of_tables_are_as_in_sql():
    assert table_name("Sales.ORDERS") == ("sales", "orders")
    assert table_name('"Sales"."a ""b"" c."') == ("Sales", 'a "b" c.')


@pytest.mark.parametrize(
    "changed",
    [
        {"columns": []},
        {"columns": ["title", "title"]},
        {"columns": ['title", card_number AS "x']},
        {"columns": {'x" , t.card_number AS "y': "title"}},
        {"search": ["card_number"]},
        {"owner_is": "email"},
        {"email_domain": "example.org"},
        {"owner_is": "email", "email_domain": "x' OR 'a' = 'a"},
        {"writable": True},
    ],
    ids=range(9),
)
def test_settings_that_contradict_themselves_are_refused(changed, orders):
    with pytest.raises(ValidationError):
        Settings.model_validate({"resources": {"orders": orders(**changed)}})


@pytest.mark.parametrize("key", ["id", "owner", "team", "created_at"])
async def test_a_column_is_looked_up_and_never_run(refused, orders, pool, key):
    injected = 'order_no" FROM users; DROP TABLE sales.orders; --'
    faults = await refused(orders=orders(**{key: injected}))
    assert list(faults) == [f"orders.{key}"]
    assert "has no column" in faults[f"orders.{key}"]


async def test_a_column_with_any_name_is_shared(share, lead, pool, orders, keys):
    odd = 'it\'s "odd" }{0} $1 --'
    await pool.execute(f'''ALTER TABLE sales.orders ADD "{odd.replace('"', '""')}" text DEFAULT 'x' ''')
    rows = await share(
        orders=orders(columns={"odd": odd, "schema": "title", "model_config2": "notes"}, search=["odd"])
    )
    assert await keys(rows, lead, odd="x") == ["A-3", "A-2", "A-1"]
    assert (await rows.search(lead, "orders", {"q": "x"})).rows == 3


async def test_a_field_with_a_meaning_of_its_own_is_refused(share, orders):
    with pytest.raises(ConfigError, match="limit"):
        await share(orders=orders(columns={"limit": "title"}, search=[]))


async def test_a_start_remakes_nothing_that_stands_and_many_at_once_make_one(share, pool):
    await share()
    before = await pool.fetchval("SELECT 'orders'::regclass::oid")
    await asyncio.gather(*(share() for _ in range(3)))
    assert await pool.fetchval("SELECT 'orders'::regclass::oid") == before


async def test_a_changed_config_remakes_the_view_and_an_absent_one_drops_it(share, pool, orders, lead, keys):
    await share()
    rows = await share(orders=orders(columns=["title"], search=[]))
    assert await keys(rows, lead) == ["A-3", "A-2", "A-1"]
    async with pool.transaction() as sql:
        assert await discover(sql._target, [], []) == []
    assert await pool.fetchval("SELECT to_regclass('mosaic.orders')") is None
    assert await pool.fetchval("SELECT count(*) FROM sales.orders") == 8
