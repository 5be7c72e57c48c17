"""Probes: what is asked, how it is bounded, and what the boot makes of the answers.

What the doctor makes of them is in ``health.doctor`` and ``health.report``, which only the doctor imports.
"""

from mosaic_gateway.health.database import pool_probe
from mosaic_gateway.health.detector import detect, refuse_red
from mosaic_gateway.health.probes import HOST, Checked, run_probes

__all__ = [
    "HOST",
    "Checked",
    "detect",
    "pool_probe",
    "refuse_red",
    "run_probes",
]
