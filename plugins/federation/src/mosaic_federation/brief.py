"""What is known for a moment, so that whoever asks again costs the database nothing."""

from __future__ import annotations

import time
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_MOST = 10_000  # of one kind; the oldest goes first


class Brief(Generic[K, V]):
    """Values by key, each until its own end by the monotonic clock."""

    def __init__(self) -> None:
        self._kept: dict[K, tuple[float, V]] = {}

    def entry(self, key: K) -> tuple[float, V | None]:
        """Until when it is kept, and what; (0, None) for nothing."""
        return self._kept.get(key, (0.0, None))

    def get(self, key: K) -> V | None:
        """What was kept, if its time is not over."""
        until, value = self.entry(key)
        return value if until > time.monotonic() else None

    def keep(self, key: K, value: V, until: float) -> None:
        """Tell the same ``until`` then."""
        self._kept.pop(key, None)
        self._drop_oldest()
        self._kept[key] = (until, value)

    def forget(self, key: K) -> None:
        """This one may have changed."""
        self._kept.pop(key, None)

    def clear(self) -> None:
        """Any may have changed."""
        self._kept.clear()

    def _drop_oldest(self) -> None:
        """As many as are over: most of them are not asked for again."""
        now = time.monotonic()
        while self._kept:
            oldest = next(iter(self._kept))
            if len(self._kept) < _MOST and self._kept[oldest][0] > now:
                return
            del self._kept[oldest]
