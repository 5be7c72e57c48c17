"""What happens by itself: checkpoints, and the end of old months."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from mosaic_audit.checkpoints import sign_all
from mosaic_audit.retention import retire
from mosaic_audit.settings import Settings
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import Job

_RETIRE_EVERY = 6 * 3600.0  # seconds
_RETIRE_WITHIN = 5.5 * 3600  # seconds: over before the next


def jobs(host: Host) -> Iterable[Job]:
    """Those the settings ask for."""
    settings = host.settings(Settings)

    async def sign(_: Mapping[str, Any]) -> None:
        await sign_all(host)

    async def drop(_: Mapping[str, Any]) -> None:
        await retire(host, datetime.now(UTC) - timedelta(days=settings.keep_days or 0))

    yield Job("audit.checkpoint", sign, every=settings.checkpoint_seconds)
    if settings.keep_days:
        # The whole log is verified first, which takes hours for 100 million rows; the next run is the next attempt.
        yield Job("audit.retain", drop, every=_RETIRE_EVERY, attempts=1, timeout=_RETIRE_WITHIN)
