"""The hash chain of one stream: each row's SHA-256 covers its content and the hash of the row before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from mosaic_hookspecs.types import AuditEvent

START = bytes(32)  # what the first row of a stream follows
_KEYS = ("stream", "seq", "at", *(field.name for field in fields(AuditEvent)))


@dataclass(frozen=True, slots=True)
class Entry:
    """One row to be, with its place in the chain."""

    seq: int
    payload: str
    prev: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Chain:
    """The end of a stream: what the next row must follow."""

    stream: UUID
    seq: int = 0
    head: bytes = START

    @classmethod
    def new(cls) -> Chain:
        """A stream of its own."""
        return cls(uuid4())

    def append(self, event: AuditEvent, at: datetime) -> Entry:
        """The row that comes next. The chain itself moves only by :meth:`after`, once the row is stored."""
        seq = self.seq + 1
        payload = canonical({"stream": self.stream, "seq": seq, "at": at, **asdict(event)})
        return Entry(seq, payload, self.head, link(self.head, payload))

    def after(self, entry: Entry) -> Chain:
        """The chain once ``entry`` is its last row."""
        return Chain(self.stream, entry.seq, entry.hash)


def link(prev: bytes, payload: str) -> bytes:
    """Hash of a row."""
    return sha256(prev + payload.encode("utf-8")).digest()


def canonical(row: Mapping[str, Any]) -> str:
    """One spelling for one content: sorted keys, no spaces, times in UTC with microseconds."""
    content = {key: _plain(row[key]) for key in _KEYS}
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    return str(value) if isinstance(value, UUID) else value
