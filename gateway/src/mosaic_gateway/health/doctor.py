"""What `mosaic gateway doctor` looks at beside the plugins' own probes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from mosaic_gateway.health.probes import Report, run_probes
from mosaic_hookspecs.types import Finding, Probe

_GIB = 1024**3
_PLENTY, _SCARCE = 1.0, 0.1  # GiB


async def examine(data_dir: Path, probes: Sequence[Probe]) -> Report:
    """Every finding on a gateway whose database is within reach."""
    return [("data directory", _disk(data_dir)), *await run_probes(probes)]


def _disk(data_dir: Path) -> Finding:
    free = shutil.disk_usage(data_dir).free / _GIB
    detail = f"{free:.1f} GiB free"
    if free > _PLENTY:
        return Finding("green", detail)
    return Finding("yellow" if free > _SCARCE else "red", detail, "make room on this disk")
