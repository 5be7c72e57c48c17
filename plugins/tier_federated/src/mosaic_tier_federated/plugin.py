"""What this plugin offers: the tier ``federated``."""

from __future__ import annotations

from collections.abc import Iterable

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import Tier


@hookimpl
def mosaic_tiers() -> Iterable[Tier]:
    """Services of their own, on ports beside the usual ones."""
    return [
        Tier(
            "federated",
            storage="postgres",
            queue="bullmq",
            cache="valkey",
            limiter="valkey",
            no_other_queue_because="a revoked grant must reach every worker at once, and renewals must survive a kill",
            summary="Postgres with pgvector, Valkey, and peers",
            needs=("postgres", "valkey", "audit", "federation"),
            needs_authority=True,
            ready_when=("database", "valkey", "row security", "peer limits"),
            storage_url="postgresql://mosaic@localhost:5433/mosaic",
            queue_url="redis://localhost:6380/0",
            enable_vector=True,
        )
    ]
