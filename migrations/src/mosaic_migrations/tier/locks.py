"""Advisory locks: one move at a time on either side, and none while a dead one still writes.

Polled: the blocking form deadlocks with CREATE INDEX CONCURRENTLY, and ends only with the connection.
"""

from __future__ import annotations

import asyncio
import time

import asyncpg

from mosaic_hookspecs.errors import Conflict
from mosaic_migrations.tier.sides import sql

MOVE = 0x6D6F736169_0001  # "mosai" in ASCII and a number; one move at a time
WRITERS = 0x6D6F736169_0002  # held shared by every session that writes to the target
WAIT = 10.0  # seconds; a server notices after one or two that a killed client is gone
POLL = 0.05  # seconds
_PATIENCE = 1.0  # seconds that a server may need to take note that a command has ended


async def be_alone(connection: asyncpg.Connection, side: str) -> None:
    """Be the only move on this database until the connection ends. Raises :class:`Conflict` after ten seconds."""
    await _take(connection, sql.try_lock, MOVE, side)


async def no_writer_left(target: asyncpg.Connection) -> None:
    """Wait until no session of an earlier, killed move is left."""
    await _take(target, sql.try_lock, WRITERS, "target")
    await target.fetchval(sql.unlock, WRITERS)


async def as_writer(target: asyncpg.Connection) -> None:
    """Show for as long as the connection lasts that it writes to the target."""
    await _take(target, sql.try_lock_shared, WRITERS, "target")


async def _take(connection: asyncpg.Connection, query: str, number: int, side: str) -> None:
    deadline = time.monotonic() + WAIT
    while not await connection.fetchval(query, number):
        if time.monotonic() > deadline:
            raise Conflict(
                f"another migrate-tier is at work on the {side} database",
                remedy="let it end, then look again",
            )
        await asyncio.sleep(POLL)


async def refuse_users(connection: asyncpg.Connection, side: str) -> None:
    """Raise :class:`Conflict` if a gateway, or one of its commands, is connected to this database."""
    for _ in range(10):
        if not await connection.fetchval(sql.users):
            return
        await asyncio.sleep(_PATIENCE / 10)
    raise Conflict(
        f"a gateway, or one of its commands, is using the {side} database",
        remedy="stop it: what it writes while rows are copied would be left behind",
    )
