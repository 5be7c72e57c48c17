"""A gateway that moves to another database takes its own rows along; the shared table is not its own."""

from __future__ import annotations

import pytest

from mosaic_gateway.cli.move_shown import print_plan
from mosaic_gateway.cli.shell import Shell
from mosaic_gateway.database import connect
from mosaic_gateway.resources import discover
from mosaic_hookspecs.errors import ConfigError
from mosaic_migrations import CORE
from mosaic_migrations.tier import Route, make_plan, move
from mosaic_tables.discovery import Tables
from mosaic_tables.settings import Settings


async def test_a_move_says_that_the_table_stays_and_leaves_it_alone(new_database, sales, orders, capsys):
    here, there = await new_database([CORE]), await new_database([])
    tables = [("tables", Tables(Settings.model_validate({"resources": {"orders": orders()}})))]
    connection = await connect(here)
    await connection.execute(sales + "INSERT INTO users (username) VALUES ('lead')")
    await discover(connection, [], tables)
    await connection.close()

    route = Route.between(lambda: connect(here), lambda: connect(there), [CORE], vector=False)
    plan = await make_plan(route)
    print_plan(Shell(None, debug=False), plan, [], as_json=False)
    assert "note: orders shows rows of sales.orders, which stays where it is" in capsys.readouterr().out
    assert (await move(route, plan)).copied == plan.rows

    connection = await connect(here)
    assert await connection.fetchval("SELECT count(*) FROM orders") == 2
    assert await connection.fetchval("SELECT count(*) FROM sales.orders") == 8
    await connection.close()
    connection = await connect(there)
    try:
        assert await connection.fetchval("SELECT count(*) FROM users") == 1
        with pytest.raises(ConfigError, match="cannot be shared") as error:
            await discover(connection, [], tables)
        assert "there is no table or view sales.orders" in str(error.value)
        await connection.execute(sales)
        await discover(connection, [], tables)
        assert await connection.fetchval("SELECT count(*) FROM orders") == 2
    finally:
        await connection.close()
