"""Processor time of processes: on a busy machine it says more than seconds."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def family(pid: int) -> list[int]:
    """The process and all that it and its children have started: workers, and a Postgres with its backends."""
    found = [pid]
    with suppress(OSError):  # a backend may end at any time
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += family(int(child))
    return found


def processor_seconds(pids: Sequence[int]) -> float:
    """Seconds on a processor so far, to the nanosecond, of those that still live."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*"):
            with suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9
