"""Certificates that were refused a moment ago: whoever goes on asking with one costs the database nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass

from mosaic_federation.oids import Claims

_MOST = 10_000  # certificates; the oldest goes first


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a certificate is not let in, and of which peer it is, as far as that is known."""

    reason: str
    peer: str


class Refusals:
    """By what a certificate says, its key included: of another nothing is told."""

    def __init__(self) -> None:
        self._kept: dict[Claims, tuple[float, Refusal]] = {}

    def of(self, claims: Claims) -> Refusal | None:
        """What was kept, if its time is not over."""
        until, refusal = self._kept.get(claims, (0.0, None))
        return refusal if until > time.monotonic() else None

    def keep(self, claims: Claims, refusal: Refusal, until: float) -> None:
        """Tell the same ``until`` then, by the monotonic clock."""
        self._kept.pop(claims, None)
        if len(self._kept) >= _MOST:
            del self._kept[next(iter(self._kept))]
        self._kept[claims] = (until, refusal)

    def forget(self) -> None:
        """Something has changed: perhaps for the better."""
        self._kept.clear()
