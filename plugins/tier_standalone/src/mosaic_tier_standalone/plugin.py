"""What this plugin offers: the tier ``standalone``."""

from __future__ import annotations

from collections.abc import Iterable

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import Tier


@hookimpl
def mosaic_tiers() -> Iterable[Tier]:
    """Services of yours, on their usual ports."""
    return [
        Tier(
            "standalone",
            storage="postgres",
            queue="bullmq",
            cache="valkey",
            limiter="valkey",
            summary="your Postgres and your Valkey",
            needs=("postgres", "valkey"),
            ready_when=("database", "valkey"),
            storage_url="postgresql://mosaic@localhost:5432/mosaic",
            queue_url="redis://localhost:6379/0",
        )
    ]
