"""The hash chain of one stream: each row's SHA-256 covers its content and the hash of the row before."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from mosaic_hookspecs.types import AuditEvent

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
START = bytes(32)  # what the first row of a stream follows
_KEYS = tuple(sorted({"stream", "seq", "at", *(field.name for field in fields(AuditEvent))}))
# What release 0.2 added, and what it is where an older row does not say it: such a row is hashed without it.
ADDED = {"trace_id": "", "direction": "answered"}
_KEYS_BEFORE = tuple(key for key in _KEYS if key not in ADDED)
_encode = json.JSONEncoder(ensure_ascii=False).encode
_text = json.encoder.encode_basestring
# What `canonical` says of an event, in a third of the time: the writer is in the way of every answer.
_ROW = (
    '{"at":%s,"bytes_out":%d,"direction":%s,"grant_id":%s,"latency_us":%d,"outcome":%s,"peer":%s,"query_hash":%s,'
    '"request_id":%s,"resource":%s,"rows":%d,"seq":%d,"serial":%s,"stream":%s,"subject_id":%s,"trace_id":%s,"verb":%s}'
)


@lru_cache(maxsize=4096)
def _id(one: UUID | None) -> str:
    return "null" if one is None else _text(str(one))


def _time(moment: datetime) -> str:
    return f'"{moment.isoformat(timespec="microseconds")}"'


# An encoder of its own for each value would cost more than all else that is done for a row that is read.
_SPELLED: Mapping[type, Callable[[Any], str]] = {
    str: _text,
    int: str,
    UUID: _id,
    datetime: _time,
    type(None): _id,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One row to be, with its place in the chain."""

    seq: int
    at: datetime
    payload: str
    prev: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Chain:
    """The end of a stream: what the next row must follow."""

    stream: UUID
    seq: int = 0
    head: bytes = START
    at: datetime = _LONG_AGO

    @classmethod
    def new(cls) -> Chain:
        """A stream of its own."""
        return cls(uuid4())

    def append(self, event: AuditEvent, at: datetime) -> Entry:
        """The row that comes next. The chain itself moves only by :meth:`after`, once the row is stored.

        A clock that is set back a little stands still for the stream: its rows are in the order of their times.
        """
        seq, at = self.seq + 1, max(at, self.at)
        payload = _ROW % (
            _time(at), event.bytes_out, _text(event.direction), _id(event.grant_id), event.latency_us,
            _text(event.outcome), _text(event.peer), _text(event.query_hash), _text(event.request_id),
            _text(event.resource), event.rows, seq, _text(event.serial), _id(self.stream), _id(event.subject_id),
            _text(event.trace_id), _text(event.verb),
        )  # fmt: skip
        return Entry(seq, at, payload, self.head, link(self.head, payload))

    def after(self, entry: Entry) -> Chain:
        """The chain once ``entry`` is its last row."""
        return Chain(self.stream, entry.seq, entry.hash, entry.at)


def link(prev: bytes, payload: str) -> bytes:
    """Hash of a row."""
    return sha256(prev + payload.encode("utf-8", "surrogatepass")).digest()


def canonical(row: Mapping[str, Any], keys: Iterable[str] = _KEYS) -> str:
    """One spelling for one content: sorted keys, no spaces, times in UTC with microseconds."""
    spelled = [f'"{key}":{_SPELLED.get(type(value := row[key]), _spelled)(value)}' for key in keys]
    return "{" + ",".join(spelled) + "}"


def says(row: Mapping[str, Any]) -> bool:
    """Whether the columns of a row are what its payload says: all of them, or all that its release knew."""
    if row["payload"] == canonical(row):
        return True
    older = all(row[key] == absent for key, absent in ADDED.items())
    return older and bool(row["payload"] == canonical(row, _KEYS_BEFORE))


def _spelled(value: Any) -> str:
    """Whatever else it may be, as what a row that was read holds."""
    return _encode(str(value) if isinstance(value, UUID) else value)
