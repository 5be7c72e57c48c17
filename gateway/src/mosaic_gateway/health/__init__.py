"""Probes: what is asked, how it is bounded, and what the doctor makes of the answers."""

from mosaic_gateway.health.doctor import examine
from mosaic_gateway.health.probes import Report, database_probe, run_probes, worst

__all__ = ["Report", "database_probe", "examine", "run_probes", "worst"]
