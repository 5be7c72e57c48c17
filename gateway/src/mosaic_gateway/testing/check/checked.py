"""What `mosaic plugins check` says of a rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["passed", "failed", "left out", "not run"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one rule. ``left out``: it says nothing of this one; ``not run``: something is not there."""

    plugin: str
    hook: str  # or ``plugin`` for what holds of it as a whole
    object: str
    rule: str
    outcome: Outcome
    reason: str = ""
