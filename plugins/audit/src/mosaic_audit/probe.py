"""Whether a row that was answered for is safe, and whether the next one has a place."""

from __future__ import annotations

from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import Finding, Probe

_sql = load_queries("mosaic_audit", "queries.sql")


def probe(host: Host) -> Probe:
    """For the doctor."""

    async def check() -> Finding:
        [row] = await host.database.fetch(_sql.standing)
        if name := row["detached"]:
            return Finding(
                "red",
                f"{name}, the table of this month, is no partition of the log: no peer gets an answer",
                f"attach it again (ALTER TABLE federation_audit_log ATTACH PARTITION {name} FOR VALUES ...), "
                "or give it another name: then `mosaic audit verify` misses its rows",
            )
        if row["off"]:
            return Finding(
                "yellow",
                f"a crash of the database may lose what was answered for: {' and '.join(row['off'])} is off",
                "; ".join(f"ALTER SYSTEM SET {name} = on" for name in row["off"])
                + "; SELECT pg_reload_conf(); and look for the same of the role and the database",
            )
        return Finding("green", "what is answered for is on disk")

    return Probe("audit log", check)
