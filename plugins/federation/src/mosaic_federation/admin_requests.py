"""What scripts send to the admin API: a body, an entity tag, parameters; anything else is refused by its place.

By hand: the gateway's own reader of bodies is not a plugin's to import, and pydantic drops what is there twice.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field, ValidationError
from quart import request

from mosaic_federation.grant_limits import GrantLimits
from mosaic_federation.peers import Readers
from mosaic_hookspecs.errors import Fault, Invalid, Malformed, PreconditionFailed, TooLarge
from mosaic_hookspecs.models import Model

LARGEST_BODY = 1024 * 1024  # bytes; a scope may withhold 10,000 rows

_TAG = re.compile(r'"([1-9][0-9]{0,8})"')

_PRINTABLE = r"^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$"

Reason = Annotated[str, Field(max_length=500, pattern=_PRINTABLE)]
B = TypeVar("B", bound="Body")


class Body(Model):
    """A body that holds what it may hold and nothing more."""

    model_config = ConfigDict(strict=True)


class NewGrant(Body):
    """A grant to make."""

    subject: Annotated[str, Field(max_length=200, pattern=_PRINTABLE, examples=["lead"])]
    """The user through whose eyes the peer looks."""
    peer: Annotated[str, Field(max_length=63, examples=["partner"])]
    """What you call the other gateway."""
    scope: dict[str, Any]
    """What the peer may see."""
    limits: GrantLimits = GrantLimits()
    """How much it may ask."""


class GrantUpdate(Body):
    """Another scope, or other limits, for a grant."""

    scope: dict[str, Any] = Field(default_factory=dict)
    """The parts to change; the others stay as they are."""
    limits: GrantLimits = GrantLimits()
    """Those to change; null for what the config says."""
    reason: Reason | None = None
    """Kept in the grant's history."""


class Why(Body):
    """A reason for a change; the body may be left out."""

    reason: Reason | None = None
    """Kept in the grant's history."""


class NewPeer(Body):
    """An enrollment URL to use."""

    url: Annotated[str, Field(max_length=2048)]
    """As the admin of the other gateway has sent it, whole."""
    expect_fingerprint: Annotated[str, Field(max_length=200)]
    """SHA-256 of the other gateway's authority, as its admin told it by another way than the URL."""
    name: Annotated[str, Field(max_length=63, examples=["work"])] | None = None
    """What to call the peer here; by default what it calls itself."""
    readers: Readers | None = None
    """Which users of this gateway may read through it; by default the admins."""


async def read_body(model: type[B]) -> B:
    """The body as ``model``; no body at all is an empty object.

    Raises :class:`Malformed` for what is not JSON, :class:`TooLarge`, and :class:`Invalid` with a JSON pointer to
    every wrong place, and to every name that is there twice.
    """
    announced = request.content_length or 0  # absent when sent in chunks; then the listener's own limit holds
    body = await request.get_data() if announced <= LARGEST_BODY else b""
    if max(announced, len(body)) > LARGEST_BODY:
        raise TooLarge(f"a request to the admin API has at most {LARGEST_BODY} bytes")
    if body and not request.is_json:
        raise Malformed("the body is not declared as application/json", remedy="send that Content-Type")
    try:
        value = json.loads(body or b"{}", object_pairs_hook=_Object, parse_constant=_refused)
        faults = list(_twice(value))
    except (ValueError, RecursionError) as error:
        where = (
            f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        )
        raise Malformed(f"the body is not JSON{where}", remedy="send one JSON object in UTF-8") from None
    try:
        parsed = model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise _invalid([*faults, *(Fault(_pointer(each["loc"]), each["msg"]) for each in found)]) from None
    if faults:
        raise _invalid(faults)
    return parsed


def read_params(*known: str) -> dict[str, str]:
    """The query parameters. Raises :class:`Malformed` for one that is not known, or given twice."""
    faults = [
        Fault(
            name, "given more than once" if name in known else f"unknown; known: {', '.join(known) or 'none'}"
        )
        for name, values in request.args.lists()
        if name not in known or len(values) > 1
    ]
    if faults:
        raise Malformed("the query parameters are not valid", faults=faults, remedy="mend the places above")
    return request.args.to_dict()


def wanted_version() -> int | None:
    """The version that ``If-Match`` demands (RFC 9110, 13.1.1), None for any.

    Raises :class:`PreconditionFailed` for what is the tag of no grant.
    """
    sent = ", ".join(request.headers.getlist("If-Match")).strip()
    if sent == "*" or "If-Match" not in request.headers:
        return None
    match = _TAG.fullmatch(sent)
    if match is None:
        raise PreconditionFailed(
            "If-Match is not the ETag of a grant", remedy='send the ETag as you read it, such as "3", or *'
        )
    return int(match[1])


class _Object(dict[str, Any]):
    """A JSON object that remembers which names it was given more than once."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.twice = [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]


def _twice(value: object, *path: str | int) -> Iterator[Fault]:
    if isinstance(value, _Object):
        for name in value.twice:
            yield Fault(_pointer((*path, name)), "is there more than once")
        for name, inner in value.items():
            yield from _twice(inner, *path, name)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _twice(inner, *path, index)


def _pointer(path: Sequence[str | int]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(step)[:100].replace("~", "~0").replace("/", "~1") for step in path) or "/"


def _refused(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _invalid(faults: Sequence[Fault]) -> Invalid:
    return Invalid("the body is not valid", faults=faults, remedy="mend the places above")
