"""The parts of a request that HTTP itself defines: parameters, body type, entity tags (RFC 9110)."""

from __future__ import annotations

import re

from quart import request
from werkzeug.exceptions import UnsupportedMediaType

from mosaic_hookspecs.errors import Fault, Malformed, PreconditionFailed

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_VERSION = re.compile(r"[1-9][0-9]{0,17}")  # within Postgres' bigint


def etag(version: int) -> str:
    """Return the strong entity tag of a row's version."""
    return f'"{version}"'


def query_params() -> dict[str, str]:
    """Return the query parameters. Raises :class:`Malformed` if one is given twice."""
    twice = [name for name, values in request.args.lists() if len(values) > 1]
    if twice:
        raise Malformed(
            "A query parameter is given more than once.",
            remedy="give each parameter once; several values go into field.in=a,b",
            faults=[Fault(name, "given more than once") for name in twice],
        )
    return request.args.to_dict()


async def json_body() -> bytes:
    """Return the body, unparsed. 415 unless its type is ``application/json`` or ``application/…+json``."""
    if not request.is_json:
        raise UnsupportedMediaType("The body is not declared as application/json.")
    return await request.get_data(cache=False, as_text=False, parse_form_data=False)


def if_match() -> int | None:
    """Return the version that ``If-Match`` demands, None for any.

    Raises :class:`Malformed` if it is not one entity tag, and :class:`PreconditionFailed` for a tag that no
    row can have: a weak one never matches (RFC 9110, 13.1.1), and ours are numbers.
    """
    sent = ", ".join(request.headers.getlist("If-Match")).strip()
    if sent == "*" or "If-Match" not in request.headers:
        return None
    match = _TAG.fullmatch(sent)
    if match is None:
        raise Malformed(
            "The If-Match header is not one entity tag.",
            remedy='send the ETag of the row as you read it, such as "7", or *',
            faults=[Fault("If-Match", "expected one quoted entity tag, or *")],
        )
    weak, opaque = match.groups()
    if weak or not _VERSION.fullmatch(opaque):
        raise PreconditionFailed(
            "The If-Match header names a version that this row never had.",
            remedy="read the row again and send its ETag unchanged",
        )
    return int(opaque)
