"""Moments as they are typed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_AGO = re.compile(r"(\d{1,5})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(text: str) -> datetime:
    """``2026-11-22``, ``2026-11-22T10:00`` (UTC unless it says otherwise), or how long ago: ``90m``, ``400d``."""
    if match := _AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time: give 2026-11-22, 2026-11-22T10:00, or 12h for 12 hours ago"
        ) from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
