"""What the gateway itself has a figure of, beside its requests (:mod:`mosaic_gateway.serving.metrics`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mosaic_hookspecs.metrics import Metric, Metrics

if TYPE_CHECKING:
    from mosaic_gateway.database import Pool

BUILD = Metric(
    "mosaic_build_info",
    "gauge",
    "1, of each process, by version and tier.",
    ("version", "tier"),
    across="min",
)
CONNECTIONS = Metric(
    "mosaic_database_connections_in_use", "gauge", "Connections to Postgres with a statement under way."
)


def watch_gateway(metrics: Metrics, pools: Sequence[Pool], *, version: str, tier: str) -> None:
    """Have figures of a gateway that is up."""
    metrics.watch(BUILD, lambda: 1, version, tier)
    metrics.watch(CONNECTIONS, lambda: sum(pool.in_use for pool in pools))
