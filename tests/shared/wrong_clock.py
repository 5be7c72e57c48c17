"""A machine's clock that is wrong, for modules that ask ``datetime``; whole programs are told by libfaketime."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import Any


def wrong_clock(fast: timedelta) -> type[datetime]:
    """A ``datetime`` whose ``now`` is ahead by so much."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz) + fast

    return Wrong
