"""The log in a file: NDJSON, with all that is needed to verify it offline."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from mosaic_audit.key import key_text
from mosaic_audit.stored import Source, Stretch

VERSION = 1


async def with_proof(source: Source, gateway: str, key: bytes) -> AsyncIterator[str]:
    """Lines: what it is, checkpoints, what they cover, and rows by stream and number."""
    part = {"base": source.part.base, "archive": source.part.archive}
    yield _line("log", {"version": VERSION, "gateway": gateway, "key": key_text(key), **part})
    async for filed in source.checkpoints():
        checkpoint = filed.checkpoint
        yield _line("checkpoint", {"payload": checkpoint.payload, "signature": checkpoint.signature})
    for stream in await source.streams():
        for number, span in await source.spans_of_stream(stream):
            fields = {"checkpoint": number, "stream": stream, "first": span.first, "last": span.last}
            proof = {"head": span.head, "root": span.root, "retired": span.retired}
            yield _line("span", fields | proof)
    for stream in await source.streams():
        stretch = Stretch(source.part, await source.spans_of_stream(stream))
        async for row in source.rows(stream, stretch.seq, stretch.end):
            yield row_line(row)


def row_line(row: Mapping[str, Any]) -> str:
    """A row as it was hashed, and its hashes."""
    return _line("row", {**json.loads(row["payload"]), "prev": row["prev"], "hash": row["hash"]})


def _line(kind: str, fields: Mapping[str, Any]) -> str:
    return json.dumps({"type": kind, **fields}, ensure_ascii=False, default=_text) + "\n"


def _text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
