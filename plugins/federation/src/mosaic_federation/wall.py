"""Whether the second wall stands: the role and the policies without which no peer is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import Finding, Probe

_sql = load_queries("mosaic_federation", "queries.sql")


def wall_probe(host: Host) -> Probe:
    """For the doctor, and for the boot of a tier that is there to answer peers."""

    async def check() -> Finding:
        if not await host.database.fetchval(_sql.has_peer_wall):
            return Finding("yellow", "its tables are not all there", "run the pending migrations")
        row = await host.database.fetchrow(_sql.peer_wall)
        return _judge(row, _making(host, _statements(row)))

    return Probe("row security", check)


def _judge(row: Any, fix: Callable[[], Awaitable[None]]) -> Finding:
    role, missing = row["role"], f"the role {row['role']} is not there, or not {row['owner']}'s to take"
    if row["usable"] and row["complete"]:
        if row["indexed"]:
            return Finding("green", f"peers are answered as {role}")
        return Finding(
            "green",
            f"peers are answered as {role}; their searches read every row of their subject, and would use the index "
            "if a superuser ran in this database: ALTER FUNCTION ts_match_vq(tsvector, tsquery) LEAKPROOF; "
            "ALTER FUNCTION arrayoverlap(anyarray, anyarray) LEAKPROOF",
        )
    if row["usable"]:
        return Finding(
            "yellow", f"the rights of {role} are not in order", "start the gateway anew: it mends them"
        )
    if row["may_create"]:
        remedy = "it is made at the next start, or now by `mosaic gateway doctor --fix`"
        return Finding("yellow", missing, remedy, fix)
    remedy = f"as a superuser: {'; '.join(_statements(row))}. Then start the gateway anew"
    return Finding("red", f"{missing}: no peer is answered", remedy)


def _statements(row: Any) -> tuple[str, str]:
    role, owner = (row[name].replace('"', '""') for name in ("role", "owner"))
    return f'CREATE ROLE "{role}" NOLOGIN', f'GRANT "{role}" TO "{owner}"'


def _making(host: Host, statements: tuple[str, str]) -> Callable[[], Awaitable[None]]:
    async def make() -> None:
        async with host.database.transaction() as sql:
            for statement in statements:
                await sql.execute(statement)

    return make
