"""Probes: what is asked, how it is bounded, and what the boot and the doctor make of the answers."""

from mosaic_gateway.health.database import pool_probe
from mosaic_gateway.health.detector import detect, refuse_red
from mosaic_gateway.health.doctor import diagnosis, examine, unusable
from mosaic_gateway.health.probes import HOST, Checked, run_probes
from mosaic_gateway.health.report import Diagnosis

__all__ = [
    "HOST",
    "Checked",
    "Diagnosis",
    "detect",
    "diagnosis",
    "examine",
    "pool_probe",
    "refuse_red",
    "run_probes",
    "unusable",
]
