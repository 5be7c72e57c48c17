"""What another gateway answers, taken with care: bounded in size, its refusals turned into our errors."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any, NoReturn, TypeVar

import aiohttp
from pydantic import AfterValidator, BaseModel, FailFast, StringConstraints, TypeAdapter

from mosaic_hookspecs.errors import (
    Conflict,
    Fault,
    Forbidden,
    Gone,
    Invalid,
    Malformed,
    MosaicError,
    NotFound,
    OutOfTime,
    TooLarge,
    TooMany,
    Unavailable,
)

_REFUSALS = {
    error.status: error for error in (Malformed, Forbidden, NotFound, Conflict, Gone, TooLarge, Invalid)
}
_OK = 200
_A_DAY = 86_400  # seconds
_A_NUMBER = re.compile(r"[0-9]{1,9}")
_CHUNK = 65_536  # bytes
_CODE = re.compile(r"urn:mosaic:problem:([a-z-]{1,63})")
_LONGEST_TEXT = 500  # characters
_LONG = 1_048_576  # bytes
_LONGEST_WHOLE = 1000  # digits
_MOST_FAULTS = 20
_LARGEST_REFUSAL = 65_536  # bytes
_MOST_VALUES = 100_000  # of one answer: to take it apart holds everybody up
_DEEPEST = 100  # lists and objects in each other: written again elsewhere, it must not be too deep there
_BEFORE_VALUES = (b",", b"[", b"{")  # one of them stands before each value but the first
_QUOTES = 4  # of a value at most: its name has two, and a string two


T = TypeVar("T")

_one_by_one = ThreadPoolExecutor(max_workers=1, thread_name_prefix="answers")


def _has_id(row: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(row.get("id"), str):
        raise ValueError("a row has an id")  # noqa: TRY004 - pydantic takes no other error for a verdict
    return row


Row = Annotated[dict[str, Any], AfterValidator(_has_id)]
_row: TypeAdapter[dict[str, Any]] = TypeAdapter(Row)


class Unreachable(Unavailable):
    """Nobody answers at a peer's address; old answers of the peer may be shown, as old ones."""


class Page(BaseModel):
    """A list of rows. The cursor goes to a terminal and back into a URL."""

    items: Annotated[list[Row], FailFast()]
    next_cursor: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$")] | None = None


def read_page(body: bytes, who: str) -> Page:
    """Return the page that ``body`` is. Raises :class:`Unavailable` if it is none."""
    _refuse_too_many(body, who)
    try:
        return Page.model_validate(_read(body))
    except (ValueError, RecursionError):  # pydantic's ValidationError is a ValueError
        raise _no_gateway(who) from None


def read_row(body: bytes, who: str) -> Row:
    """Return the row that ``body`` is. Raises :class:`Unavailable` if it is none."""
    _refuse_too_many(body, who)
    try:
        return _row.validate_python(_read(body))
    except (ValueError, RecursionError):
        raise _no_gateway(who) from None


async def aside(work: Callable[[bytes], T], body: bytes) -> T:
    """Return what ``work`` makes of ``body``; a long one is taken apart in a thread, that others may go on between."""
    if len(body) < _LONG:
        return work(body)
    return await asyncio.get_running_loop().run_in_executor(_one_by_one, work, body)


def _read(body: bytes) -> Any:
    # decoded here: in UTF-16 (which json.loads would take) what is counted before could be hidden
    value = json.loads(body.decode(), parse_constant=_refuse, parse_int=_whole, parse_float=_number)
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(_DEEPEST):
        inside = (each.values() if isinstance(each, dict) else each for each in level)
        level = [each for values in inside for each in values if isinstance(each, dict | list)]
        if not level:
            return value
    raise ValueError("too deep")


def _refuse_too_many(body: bytes, who: str) -> None:
    """Raise :class:`Unavailable`, after few passes over ``body`` that are all done in C, whatever it holds."""
    if _most_values(body) <= _MOST_VALUES:
        return
    text = body.replace(rb"\\", b"").replace(rb"\"", b"")  # each quote that is left opens or closes a string
    if text.count(b'"') <= _QUOTES * _MOST_VALUES:
        outside_of_strings = b"".join(text.split(b'"')[::2])
        if _most_values(outside_of_strings) <= _MOST_VALUES:
            return
    raise Unavailable(f"{who} sent more than {_MOST_VALUES} values", remedy="ask for fewer rows")


def _most_values(text: bytes) -> int:
    return 1 + sum(map(text.count, _BEFORE_VALUES))


@dataclass(frozen=True, slots=True)
class Came:
    """What came: a body, or the refusal that is to be raised. ``outcome`` is what the peer has on record, too."""

    body: bytes
    refusal: MosaicError | None = None
    outcome: str = "ok"


async def read_answer(response: aiohttp.ClientResponse, who: str, limit: int) -> bytes:
    """Return the body of a 200, at most ``limit`` bytes.

    Raises the error that a refusal names, with ``who`` in its text, and :class:`Unavailable` for anything else.
    """
    came = await take_answer(response, who, limit)
    if came.refusal:
        raise came.refusal
    return came.body


async def take_answer(response: aiohttp.ClientResponse, who: str, limit: int) -> Came:
    """As :func:`read_answer`, with a refusal returned. Raises :class:`Unavailable` for what is too large."""
    body = bytearray()
    limit = limit if response.status == _OK else min(limit, _LARGEST_REFUSAL)
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > limit:
            remedy = "ask for fewer rows, or its admin what is wrong there"
            raise Unavailable(f"{who} sent more than {limit} bytes", remedy=remedy)
    if response.status == _OK:
        return Came(bytes(body))
    problem = _object(bytes(body))
    named = _named(problem)
    refusal = _refusal(response, problem, named, who)
    return Came(b"", refusal, named or refusal.code)


def _no_gateway(who: str) -> Unavailable:
    return Unavailable(f"{who} does not answer like a gateway", remedy="ask its admin what is wrong there")


def _refusal(response: aiohttp.ClientResponse, problem: dict[str, Any], named: str, who: str) -> MosaicError:
    status = response.status
    detail = _text(problem.get("detail")) or f"status {status}"
    remedy = _text(problem.get("remedy"))
    if status == TooMany.status:
        wait = _wait(response.headers.get("Retry-After", ""))
        return TooMany(f"{who} answers: {detail}", remedy=remedy, retry_after=wait)
    if named == OutOfTime.code:  # one of two clocks is wrong: it does not withdraw what it shared
        return Unavailable(f"{who} answers: {detail}", remedy=remedy)
    error = _REFUSALS.get(status)
    if error is None:
        return Unavailable(f"{who} cannot answer now: {detail}", remedy=remedy)
    return error(f"{who} answers: {detail}", remedy=remedy, faults=_faults(problem.get("errors")))


def _named(problem: dict[str, Any]) -> str:
    """The code that it gives, or nothing."""
    found = _CODE.fullmatch(_text(problem.get("type")))
    return found[1] if found else ""


def _faults(places: object) -> list[Fault]:
    found = [each for each in places if isinstance(each, dict)] if isinstance(places, list) else []
    return [
        Fault(_text(each.get("where") or each.get("pointer")), _text(each.get("detail")))
        for each in found[:_MOST_FAULTS]
    ]


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _wait(text: str) -> int:
    """Seconds, at most a day: what another gateway says is not believed without bound."""
    return min(int(text), _A_DAY) if _A_NUMBER.fullmatch(text) else 1


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _number(text: str) -> float:
    """RFC 8259 bounds no number; what becomes infinite here could not be written as JSON again."""
    value = float(text)
    if not isfinite(value):
        raise ValueError("a number is too large")
    return value


def _whole(text: str) -> int:
    """Python's time for it grows with the square of its length."""
    if len(text) > _LONGEST_WHOLE:
        raise ValueError("a number is too long")
    return int(text)


def _text(value: object) -> str:
    return harmless(value[:_LONGEST_TEXT]) if isinstance(value, str) else ""


def harmless(text: str) -> str:
    """Another gateway's words without what a terminal would obey."""
    return "".join(c for c in text if c.isprintable())
