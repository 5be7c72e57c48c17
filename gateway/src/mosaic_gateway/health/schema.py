"""Which tables are there, and which migrations wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mosaic_gateway.health.database import Opener, connected, unless_unreachable
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import DatabaseLocation, Finding, MigrationSet, Probe
from mosaic_migrations.runner import migrate, pending

_SHOWN = 5  # names of migrations in one finding

#: As in databases made before PostgreSQL 15.
_OPEN = Finding(
    "yellow",
    "every role of this database may create functions in its schema public, which the gateway could come to call",
    "as its owner, in this database: REVOKE CREATE ON SCHEMA public FROM PUBLIC",
)

_sql = load_queries("mosaic_gateway.health", "queries.sql")


def schema_probe(
    location: DatabaseLocation, reopen: Opener, sets: Sequence[MigrationSet], *, vector: bool
) -> Probe:
    """Whether every migration is applied. Changes nothing; its fix applies them."""

    async def fix() -> None:
        async with reopen() as there, connected(there) as conn:
            await migrate(conn, sets, vector=vector)

    async def check() -> Finding:
        async with connected(location) as conn:
            waiting = await pending(conn, sets)
            if not waiting:
                return _OPEN if await conn.fetchval(_sql.public_is_open) else await _applied(conn)
        more = [f"and {len(waiting) - _SHOWN} more"] if len(waiting) > _SHOWN else []
        names = ", ".join([*waiting[:_SHOWN], *more])
        remedy = "they are applied at the next start, or now by `mosaic gateway doctor --fix`"
        return Finding("yellow", f"{len(waiting)} pending: {names}", remedy, fix)

    return Probe("schema", unless_unreachable(check))


async def _applied(conn: Any) -> Finding:
    rows = await conn.fetch(_sql.schema)
    return Finding("green", ", ".join(f"{row['component']} {row['version']:04}" for row in rows))
