"""What installed distributions offer by entry points. All are read once: it takes as long as importing asyncio."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from importlib.metadata import EntryPoints, entry_points
from typing import Protocol


class _Selectable(Protocol):
    """What ``entry_points()`` returns: another class in Python 3.11 than from 3.12 on."""

    def select(self, *, group: str) -> EntryPoints: ...


def offered(group: str) -> EntryPoints:
    """The entry points of a group, of all distributions; read again when one comes or goes."""
    return _scanned(tuple((folder, _changed(folder)) for folder in sys.path)).select(group=group)


def _changed(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns  # noqa: PTH116 - sys.path holds text
    except OSError:
        return 0


@lru_cache(maxsize=4)
def _scanned(_path: tuple[tuple[str, int], ...]) -> _Selectable:
    return entry_points()
