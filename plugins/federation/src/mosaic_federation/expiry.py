"""Time that has passed, written down: lapsed grants and their certificates end, tokens and counts are forgotten.

Nothing depends on it being done soon: the gate and the enrollment look at the clock themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from mosaic_federation.grant_records import grant_queries
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import Job

_EVERY = 60.0  # seconds
_TOKENS_KEPT = 30  # days after their end: until then a late use is told "expired", and not "unknown"
_COUNTS_KEPT = timedelta(days=30)

_sql = grant_queries()


def expiry_job(host: Host) -> Job:
    """The scheduled job."""

    async def run(_: Mapping[str, Any]) -> None:
        await host.database.execute(_sql.expire)
        await host.database.execute(_sql.certificates_end_expired)
        await host.database.execute(_sql.tokens_forget, _TOKENS_KEPT)
        await host.database.execute(_sql.rows_forget, datetime.now(UTC).date() - _COUNTS_KEPT)

    return Job("federation.expire", run, every=_EVERY)
