"""Benches: ours and the plain thing measured side by side in one run, so that ratios travel."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured line."""

    what: str
    unit: str
    ours: float
    plain: float
