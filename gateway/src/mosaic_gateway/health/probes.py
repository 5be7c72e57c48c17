"""Run health checks concurrently, each bounded in time, each failure its own finding."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from mosaic_hookspecs.errors import MosaicError
from mosaic_hookspecs.protocols import Database
from mosaic_hookspecs.types import Finding, Probe

Report = list[tuple[str, Finding]]
PROBE_TIMEOUT = 5.0  # seconds
_ORDER = ("green", "yellow", "red")
_OLDEST_POSTGRES = 150000  # server_version_num


async def run_probes(probes: Sequence[Probe]) -> Report:
    """Findings by probe name, in the order given."""
    return list(zip([p.name for p in probes], await asyncio.gather(*map(_run, probes)), strict=True))


async def _run(probe: Probe) -> Finding:
    try:
        return await asyncio.wait_for(probe.check(), PROBE_TIMEOUT)
    except TimeoutError:
        return Finding("red", f"did not answer within {PROBE_TIMEOUT:.0f} s")
    except MosaicError as error:
        return Finding("red", error.detail, error.remedy)
    except Exception as error:
        return Finding("red", f"the probe itself failed ({type(error).__name__})", "report it to its author")


def worst(report: Report) -> str:
    """The status that decides: red over yellow over green."""
    return max((finding.status for _, finding in report), key=_ORDER.index, default="green")


def database_probe(database: Database) -> Probe:
    """Whether Postgres answers, is new enough and may be written to."""

    async def check() -> Finding:
        start = time.perf_counter()
        row = await database.fetchrow(
            "SELECT current_setting('server_version_num')::int AS number,"
            " current_setting('server_version') AS version, pg_is_in_recovery() AS replica"
        )
        latency = (time.perf_counter() - start) * 1000
        assert row is not None  # noqa: S101 - a SELECT without FROM has one row
        if row["number"] < _OLDEST_POSTGRES:
            return Finding(
                "red", f"PostgreSQL {row['version']} is too old", "upgrade to PostgreSQL 15 or newer"
            )
        if row["replica"]:
            return Finding("red", "the database is a read-only replica", "point the gateway at the primary")
        return Finding("green", f"PostgreSQL {row['version']}, {latency:.1f} ms")

    return Probe("database", check)
