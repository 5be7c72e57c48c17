"""Keyset cursors: where the next page starts, sealed to one viewer, resource, sort and set of filters.

By hand, in thirty lines: a signed-token library would add a format and a clock, and bind no context.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from typing import NamedTuple
from uuid import UUID

from mosaic_hookspecs.errors import Fault, Malformed
from mosaic_hookspecs.types import GrantView, Viewer

_MAC = 32  # bytes of HMAC-SHA256


class Position(NamedTuple):
    """The last row of a page: its sort value as Postgres prints it (None for NULL), and its id."""

    value: str | None
    id: str


def context(viewer: Viewer, resource: str, sort: str, filters: list[tuple[str, str]]) -> bytes:
    """Say what a cursor belongs to."""
    if isinstance(viewer, GrantView):
        return _context("grant", viewer.grant_id, resource, sort, tuple(filters))
    return _context("user", viewer.id, resource, sort, tuple(filters))


@lru_cache(maxsize=256)  # most ask for what they asked for before, or for its next page
def _context(
    kind: str, viewer: UUID, resource: str, sort: str, filters: tuple[tuple[str, str], ...]
) -> bytes:
    return json.dumps([[kind, str(viewer)], resource, sort, sorted(filters)]).encode()


def seal(key: bytes, belongs_to: bytes, position: Position) -> str:
    """Return the cursor as text fit for a URL."""
    # As json.dumps writes it, which makes an encoder of its own for each.
    value = "null" if position.value is None else _quoted(position.value)
    return sign(key, belongs_to, f"[{value}, {_quoted(position.id)}]".encode())


def unseal(keys: Sequence[bytes], belongs_to: bytes, cursor: str) -> Position:
    """Return the position, if any of the keys signed it.

    Raises :class:`Malformed` for a cursor that is not this request's own.
    """
    value, row_id = json.loads(verify(keys, belongs_to, cursor))
    return Position(value, row_id)


def sign(key: bytes, belongs_to: bytes, payload: bytes) -> str:
    """Return the payload as text that :func:`verify` knows again. It can be read by whoever has it."""
    return base64.urlsafe_b64encode(_mac(key, belongs_to, payload) + payload).decode().rstrip("=")


def verify(keys: Sequence[bytes], belongs_to: bytes, cursor: str) -> bytes:
    """Return what any of the keys signed, for this request. Raises :class:`Malformed` for anything else."""
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), b"-_", validate=True)
    except ValueError:
        raise _foreign() from None
    mac, payload = raw[:_MAC], raw[_MAC:]
    if not any(hmac.compare_digest(mac, _mac(key, belongs_to, payload)) for key in keys):
        raise _foreign()
    return payload


def _mac(key: bytes, belongs_to: bytes, payload: bytes) -> bytes:
    inner = hashlib.sha256(belongs_to).digest()  # of fixed length, so that nothing can move across
    return hmac.digest(key, inner + payload, "sha256")


def _foreign() -> Malformed:
    return Malformed(
        "The cursor is not one of this list.",
        remedy="start again without cursor; keep sort and filters the same from page to page",
        faults=[Fault("cursor", "changed, or made for another viewer, resource, sort or filter")],
    )
