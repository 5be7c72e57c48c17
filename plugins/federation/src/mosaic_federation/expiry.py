"""Time that has passed, written down: lapsed grants and their certificates end, tokens, counts and
peers' answers are forgotten.

Nothing depends on it being done soon: the gate and the enrollment look at the clock themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from mosaic_federation.grant_records import grant_queries
from mosaic_federation.settings import Settings
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import GrantNotice, Job

_EVERY = 60.0  # seconds
_TOKENS_KEPT = 30  # days after their end: until then a late use is told "expired", and not "unknown"
_CERTIFICATES_KEPT = 7  # days after their end
_COUNTS_KEPT = timedelta(days=30)

_sql = grant_queries()
_peers = load_queries("mosaic_federation", "peers.sql")
_renewal = load_queries("mosaic_federation", "renewal.sql")


def expiry_job(host: Host) -> Job:
    """The scheduled job."""

    async def run(_: Mapping[str, Any]) -> None:
        expired = await host.database.fetch(_sql.expire)
        await host.database.execute(_sql.certificates_end_expired)
        await host.database.execute(_sql.tokens_forget, _TOKENS_KEPT)
        await host.database.execute(_renewal.certificates_forget, _CERTIFICATES_KEPT)
        await host.database.execute(_sql.rows_forget, datetime.now(UTC).date() - _COUNTS_KEPT)
        await host.database.execute(_peers.answers_forget_old, host.settings(Settings).reading.stale_seconds)
        for row in expired:
            who = (row["id"], row["subject_id"], row["peer_name"])
            notice = GrantNotice(*who, "expired", row["version"], row["expires_at"])
            await host.notify("mosaic_grant_changed", grant=notice)

    return Job("federation.expire", run, every=_EVERY)
