"""Folders that servers have written in."""

from __future__ import annotations

import shutil
import time
from pathlib import Path


def remove(folder: Path) -> None:
    """Also one in which something still writes: what a killed server had started goes away by itself, but later."""
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.01)
