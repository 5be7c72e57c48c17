"""A shared table is what every resource has to be, as far as it is only read."""

from __future__ import annotations

from itertools import count

import pytest

from mosaic_gateway.testing.world import RowsWorld
from mosaic_hookspecs.testing import ResourceContract


class TestOrders(ResourceContract):
    @pytest.fixture
    async def rows(self, share):
        return await share()

    @pytest.fixture
    def resource(self, rows):
        return rows.resource("orders")

    @pytest.fixture
    def world(self, rows, pool):
        return RowsWorld(rows, pool)

    @pytest.fixture
    def body(self):
        return {"title": "Ten chairs", "notes": "for the meeting room", "amount": 499.9, "paid": False}

    @pytest.fixture
    def add(self, pool, id_of):
        numbers = count()

        async def add(owner, body):
            key = f"added-{next(numbers)}"
            await pool.execute(
                "INSERT INTO sales.orders (order_no, account, title, notes, team_slug)"
                " VALUES ($1, $2, $3, $4, (SELECT slug FROM teams WHERE id = $5::text::uuid))",
                *(key, owner.username, body["title"], body["notes"], body.get("team_id")),
            )
            return id_of(key)

        return add
