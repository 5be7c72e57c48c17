"""Rows of a table that was there already, shared as a view, against the same rows as a resource of the gateway's own.

50,000 orders of 50 users. The operator's table has the indexes that the doctor asks for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from statistics import median
from typing import Any

from pydantic import BaseModel
from tests.bench import Row
from tests.bench.search import _postgres

from mosaic_gateway.database import Pool, connect, open_pool
from mosaic_gateway.resources import ResourceRows, build_wall, discover
from mosaic_hookspecs.types import DatabaseLocation, Resource, User
from mosaic_migrations import CORE
from mosaic_migrations.runner import migrate
from mosaic_tables.discovery import Tables
from mosaic_tables.probe import examine
from mosaic_tables.settings import Settings

ROUNDS = 5
SECONDS = 0.4  # of one kind of question in one round
_SEED = """
INSERT INTO users (username) SELECT 'user' || n FROM generate_series(0, 49) n;
CREATE SCHEMA sales;
CREATE TABLE sales.orders (order_no bigint PRIMARY KEY, account text NOT NULL, team text, title text NOT NULL,
    notes text NOT NULL, placed_at timestamptz NOT NULL);
INSERT INTO sales.orders
SELECT n, 'user' || n % 50, NULL, 'Order ' || n || CASE WHEN n % 9 = 0 THEN ' rare' ELSE '' END,
    repeat('word' || n % 1000 || ' ', 20), now() - n * interval '1 second' FROM generate_series(1, 50000) n;
CREATE TABLE own (title text NOT NULL, notes text NOT NULL);
SELECT make_resource('own', '{title, notes}');
INSERT INTO own (owner_id, external_id, title, notes, created_at, updated_at)
SELECT u.id, o.order_no::text, o.title, o.notes, o.placed_at, o.placed_at
FROM sales.orders o JOIN users u ON u.username = o.account;
"""
_SHARED = {
    "table": "sales.orders",
    "id": "order_no",
    "owner": "account",
    "team": "team",
    "columns": ["title", "notes"],
    "search": ["title", "notes"],
    "created_at": "placed_at",
    "updated_at": "placed_at",
}


class Order(BaseModel):
    """As in the operator's table."""

    title: str
    notes: str


async def measure() -> list[Row]:
    with ExitStack() as stack:
        location = await asyncio.to_thread(stack.enter_context, _postgres())
        found = await _prepare(location)
        async with open_pool(location) as pool:
            rows = ResourceRows(pool, found, lambda: [b"k" * 32])
            return await _measured(rows, pool)


async def _prepare(location: DatabaseLocation) -> list[Resource]:
    settings = Settings.model_validate({"resources": {"orders": _SHARED}})
    connection = await connect(location)
    await migrate(connection, [CORE])
    await connection.execute(_SEED)
    own = Resource("own", Order, "Orders of the gateway's own", search=("title", "notes"))
    found = await discover(connection, [own], [("tables", Tables(settings))])
    await build_wall(connection, found)  # and with it that searches may use their index first
    await connection.close()
    async with open_pool(location) as pool:
        async with pool.transaction() as queries:
            finding = await examine(queries, "orders", settings.resources["orders"])
        for statement in finding.remedy.split("; "):
            await pool.execute(statement)
        await pool.execute("ANALYZE")
    return found


async def _measured(rows: ResourceRows, pool: Pool) -> list[Row]:
    user = User(await pool.fetchval("SELECT id FROM users WHERE username = 'user7'"), "user7")
    ids = {
        name: str(await pool.fetchval(f"SELECT id FROM {name} WHERE owner_id = $1 LIMIT 1", user.id))
        for name in ("orders", "own")
    }
    kinds: dict[str, Callable[[str], Awaitable[Any]]] = {
        "get one row": lambda name: rows.get(user, name, ids[name]),
        "list 50, newest first": lambda name: rows.list(user, name, {}),
        "list 50 of 1,000 by a filter": lambda name: rows.list(user, name, {"title": "Order 7"}),
        "search a word of a ninth": lambda name: rows.search(user, name, {"q": "rare"}),
    }
    table = []
    for kind, ask in kinds.items():
        speeds: dict[str, list[float]] = {"orders": [], "own": []}
        for number in range(ROUNDS + 1):
            for name, found in speeds.items():
                speed = await _speed(ask, name)
                if number:  # the first round warms up
                    found.append(speed)
        table.append(Row(f"{kind}: view | own table", "/s", median(speeds["orders"]), median(speeds["own"])))
    return table


async def _speed(ask: Callable[[str], Awaitable[Any]], name: str) -> float:
    start, number = time.perf_counter(), 0
    while (passed := time.perf_counter() - start) < SECONDS:
        await ask(name)
        number += 1
    return number / passed
