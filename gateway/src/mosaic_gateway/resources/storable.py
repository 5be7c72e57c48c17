"""What Postgres could not keep, found before it is asked: in words, not as a database error."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from mosaic_hookspecs.errors import Fault

_BIGINT = 2**63
_DIGITS = 131_072  # of a numeric before its point
_PLACES = 16_383  # behind it
#: What pydantic also takes for a time (a count of seconds, a date with a space) is not RFC 3339.
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d", re.IGNORECASE)
TIME_HINT = "expected a time with a time zone (RFC 3339), such as 2026-01-31T12:00:00Z"


def problem(value: object) -> str | None:
    """Say why a single value cannot be kept, or None."""
    if isinstance(value, str):
        return _text_problem(value)
    if isinstance(value, int):
        return None if -_BIGINT <= value < _BIGINT else "the number does not fit into 64 bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else "the number is not finite"
    if isinstance(value, Decimal):
        return None if _fits(value) else "the number is too long"
    return _time_problem(value) if isinstance(value, datetime) else None


def faults(value: object, pointer: str = "") -> Iterator[Fault]:
    """Yield every place inside a JSON-like value that cannot be kept, by JSON pointer (RFC 6901)."""
    if isinstance(value, Mapping):
        for name in getattr(value, "duplicates", ()):
            yield Fault(f"{pointer}/{escape(name)}", "the name is there more than once")
        for name, inner in value.items():
            if words := _text_problem(name):
                yield Fault(f"{pointer}/{escape(name)}", f"name: {words}")
            else:
                yield from faults(inner, f"{pointer}/{escape(name)}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from faults(inner, f"{pointer}/{index}")
    elif words := problem(value):
        yield Fault(pointer, words)


def escape(name: str) -> str:
    """One reference token of a JSON pointer, printable in any encoding."""
    return name.replace("~", "~0").replace("/", "~1").encode(errors="backslashreplace").decode()


def _text_problem(text: str) -> str | None:
    if "\0" in text:
        return "the character U+0000 cannot be stored"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair is not a character"
    return None


def _fits(number: Decimal) -> bool:
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -_PLACES and max(number.adjusted(), exponent) < _DIGITS


def _time_problem(moment: datetime) -> str | None:
    if moment.utcoffset() is None:
        return TIME_HINT
    try:
        moment.astimezone(UTC)
    except OverflowError:
        return "the time is outside the years 1 to 9999 in UTC"
    return None
