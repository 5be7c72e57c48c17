"""GCRA in memory: the generic cell rate algorithm (ITU-T I.371), one count per process."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mosaic_hookspecs.types import Decision, Rate

_MOST = 100_000  # keys
_ROUNDING = 1e-9  # seconds; what floating point may be off


class Counts:
    """Counts events by key and rate."""

    def __init__(self) -> None:
        self._full_at: dict[tuple[str, str], float] = {}  # when all room will be back, monotonic seconds

    def take_all(self, wanted: Sequence[tuple[str, Rate]]) -> list[Decision]:
        """Count one event of each, or none if one of them is refused; the keys of one rate differ."""
        now = time.monotonic()
        taken, waits = [], []  # of each, seconds
        for key, rate in wanted:
            taken.append(max(self._full_at.pop((rate.name, key), now) - now, 0.0))
            waits.append(_wait(taken[-1], rate))
        refused, decisions = any(waits), []
        for (key, rate), before, wait in zip(wanted, taken, waits, strict=True):
            after = before if refused else before + rate.period / rate.limit
            self._full_at[rate.name, key] = now + after
            decisions.append(Decision(wait == 0, _room(after, rate), wait))
        while len(self._full_at) > _MOST:
            del self._full_at[next(iter(self._full_at))]  # the one that asked longest ago
        return decisions


def _wait(taken: float, rate: Rate) -> float:
    """Seconds until there is room for one event; ``taken`` is what is not back yet, in seconds."""
    over = taken + rate.period / rate.limit - rate.period
    return over if over > _ROUNDING else 0


def _room(taken: float, rate: Rate) -> int:
    return max(0, int((rate.period - taken) / (rate.period / rate.limit) + 1e-6))
