"""Folders that servers have written in."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

_PATIENCE = 30.0  # seconds; what cannot be removed by then is an error


def remove(folder: Path) -> None:
    """Also one in which something still writes: what a killed server had started goes away by itself, but later."""
    deadline = time.monotonic() + _PATIENCE
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=time.monotonic() < deadline)
        time.sleep(0.01)
