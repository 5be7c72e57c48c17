"""A request body as a JSON object, parsed strictly (RFC 8259): nothing is guessed, dropped or merged."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn

from mosaic_hookspecs.errors import Fault, Invalid, Malformed, TooLarge

#: In one body. To look at millions would hold up every other request for many seconds.
MAX_VALUES = 100_000


class Object(dict[str, Any]):
    """A JSON object that remembers which of its names came twice."""

    duplicates: tuple[str, ...] = ()


def parse_object(body: bytes) -> Object:
    """Raise :class:`Malformed` for what is not JSON, with its position, and :class:`Invalid` for no object.

    Also raises :class:`TooLarge` for more than 100,000 values, at any depth.
    """
    try:
        value = json.loads(
            body.decode(), object_pairs_hook=_object, parse_constant=_refuse, parse_float=_number
        )
    except UnicodeDecodeError as error:
        raise _malformed(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _malformed(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise _malformed("nested too deeply") from None
    except ValueError as error:  # NaN and its like; a number of thousands of digits
        raise _malformed(str(error) if "JSON" in str(error) else "a number is too long") from None
    if not isinstance(value, Object):
        raise Invalid("The body is not an object.", faults=[Fault("", "expected a JSON object")])
    _count(value)
    return value


def _count(value: Object) -> None:
    room = MAX_VALUES
    waiting: list[Object | list[Any]] = [value]
    while waiting:
        inner = waiting.pop()
        room -= len(inner)
        if room < 0:
            raise TooLarge(
                f"The body holds more than {MAX_VALUES:,} JSON values.", remedy="send less in one row"
            )
        members = inner.values() if isinstance(inner, Object) else inner
        waiting += [each for each in members if isinstance(each, Object | list)]


def _object(pairs: list[tuple[str, Any]]) -> Object:
    made = Object(pairs)
    if len(made) < len(pairs):
        times = Counter(name for name, _ in pairs)
        made.duplicates = tuple(sorted(name for name, number in times.items() if number > 1))
    return made


def _number(text: str) -> float | int:
    """To JSON Schema, 1.0 is an integer."""
    value = float(text)
    return int(value) if value.is_integer() else value


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _malformed(what: str) -> Malformed:
    return Malformed(f"The body is not JSON: {what}.", remedy="send one JSON object in UTF-8")
