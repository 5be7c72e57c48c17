"""A table of somebody else's in the gateway's database, and what shares it as a start of the gateway does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import md5
from typing import Any
from uuid import UUID, uuid4

import pytest

from all_pages import all_pages
from mosaic_gateway.database import Pool, connect, open_pool
from mosaic_gateway.identity import Identities
from mosaic_gateway.resources import ResourceRows, build_wall, discover
from mosaic_hookspecs.scope import Scope
from mosaic_hookspecs.types import DatabaseLocation, GrantView, User
from mosaic_tables.discovery import Tables
from mosaic_tables.settings import Settings

ORDERS: dict[str, Any] = {
    "table": "sales.orders",
    "id": "order_no",
    "owner": "account",
    "team": "team_slug",
    "columns": ["title", "notes", "amount", "paid"],
    "search": ["title", "notes"],
    "created_at": "placed_at",
}

SALES = """
CREATE SCHEMA sales;
CREATE TABLE sales.orders (
    order_no text PRIMARY KEY, account varchar(100), team_slug text, title varchar(200) NOT NULL, notes text,
    amount numeric(12, 2), paid boolean NOT NULL DEFAULT false, placed_at timestamptz NOT NULL DEFAULT now(),
    card_number text NOT NULL DEFAULT '4111-secret'
);
INSERT INTO sales.orders (order_no, account, team_slug, title, notes, amount, placed_at) VALUES
    ('A-1', 'lead', NULL, 'Ten chairs', 'for the meeting room', 499.90, '2026-01-01T10:00:00Z'),
    ('A-2', 'lead', NULL, 'A lamp', NULL, 19.99, '2026-01-02T10:00:00Z'),
    ('A-3', 'lead', 'core', 'Oak desks', 'six', 2400, '2026-01-03T10:00:00Z'),
    ('B-1', 'client', NULL, 'Chairs of the client', 'none of the lead', 1, '2026-01-04T10:00:00Z'),
    ('C-1', 'nobody', NULL, 'Chairs of nobody', NULL, 2, '2026-01-05T10:00:00Z'),
    ('C-2', NULL, NULL, 'Chairs without an owner', NULL, 3, '2026-01-06T10:00:00Z'),
    ('C-3', 'lead', 'closed', 'Chairs of an unknown team', NULL, 4, '2026-01-07T10:00:00Z'),
    ('C-4', 'LEAD', NULL, 'Chairs of another spelling', NULL, 5, '2026-01-08T10:00:00Z');
"""

GRANTS = """
CREATE TABLE grants_on_record (id uuid PRIMARY KEY, subject uuid NOT NULL, scope jsonb NOT NULL);
CREATE OR REPLACE FUNCTION granted(grant_id uuid) RETURNS TABLE (subject uuid, scope jsonb)
LANGUAGE sql STABLE AS 'SELECT g.subject, g.scope FROM grants_on_record g WHERE g.id = grant_id';
"""

Share = Callable[..., Awaitable[ResourceRows]]


@pytest.fixture
def sales() -> str:
    """What makes somebody else's table."""
    return SALES


@pytest.fixture
async def pool(pool: Pool) -> Pool:
    await pool.execute(SALES + GRANTS)
    return pool


@pytest.fixture
async def lead(pool: Pool) -> User:
    identities = Identities(pool)
    for name in ("lead", "client"):
        await identities.add_user(name)
    await identities.add_team("core")
    await identities.add_member("core", "lead")
    return await identities.user("lead")


@pytest.fixture
async def client(pool: Pool, lead: User) -> User:
    return await Identities(pool).user("client")


@asynccontextmanager
async def as_owner(pool: Pool, postgres: DatabaseLocation) -> AsyncIterator[Any]:
    """A connection as a start of the gateway has one."""
    location = replace(postgres, database=await pool.fetchval("SELECT current_database()"))
    connection = await connect(location)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def orders() -> Callable[..., dict[str, Any]]:
    """Settings of the orders; a key that is None is left out."""

    def changed(**keys: Any) -> dict[str, Any]:
        return {key: value for key, value in (ORDERS | keys).items() if value is not None}

    return changed


@pytest.fixture
async def share(pool: Pool, postgres: DatabaseLocation) -> AsyncIterator[Share]:
    """Start with these tables, and answer as a gateway does: users as the owner, grants behind the second wall."""
    opened = []

    async def share(**tables: dict[str, Any]) -> ResourceRows:
        settings = Settings.model_validate({"resources": tables or {"orders": ORDERS}})
        async with as_owner(pool, postgres) as connection:
            found = await discover(connection, [], [("tables", Tables(settings))])
            role = await build_wall(connection, found)
        assert role.complete
        location = replace(postgres, database=await pool.fetchval("SELECT current_database()"))
        peers = open_pool(location, lazy=True, role=role.name)
        opened.append(peers)
        return ResourceRows(pool, found, lambda: [b"k" * 32], await peers.__aenter__())

    yield share
    for each in opened:
        await each.__aexit__(None, None, None)


@pytest.fixture
def grant(pool: Pool, lead: User) -> Callable[..., Awaitable[GrantView]]:
    """Put a grant of the lead's on record."""

    async def grant(**scope: Any) -> GrantView:
        wanted = {"resources": ("orders",), "include_personal": True} | scope
        view = GrantView(uuid4(), lead.id, Scope(**wanted))
        text = view.scope.model_dump_json()
        await pool.execute(
            "INSERT INTO grants_on_record VALUES ($1, $2, $3::text::jsonb)", view.grant_id, lead.id, text
        )
        return view

    return grant


@pytest.fixture
def keys() -> Callable[..., Awaitable[list[str]]]:
    """The keys of all listed orders, page by page."""

    async def keys(rows: ResourceRows, viewer: Any, **params: str) -> list[str]:
        return [item["external_id"] for item in await all_pages(rows, viewer, "orders", params)]

    return keys


@pytest.fixture
def id_of() -> Callable[..., str]:
    """As the docs say: MD5 of resource/key, as a UUID of version 8."""

    def id_of(key: str, resource: str = "orders") -> str:
        text = md5(f"{resource}/{key}".encode()).hexdigest()
        return str(UUID(f"{text[:12]}8{text[13:16]}8{text[17:]}"))

    return id_of
