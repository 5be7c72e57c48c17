"""How long certificates last, in words, and when that is worth a word."""

from __future__ import annotations

from datetime import datetime, timedelta

_SHARE = 3  # with less than a third of its life left
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


def ends_soon(start: datetime, end: datetime, now: datetime) -> bool:
    """Whether it is time to have it replaced. Also true once it is over."""
    return end - now < (end - start) / _SHARE


def in_words(left: timedelta) -> str:
    """Such as ``5 days`` or ``7.0 hours``."""
    return f"{left // _DAY} days" if left >= 2 * _DAY else f"{left / _HOUR:.1f} hours"
