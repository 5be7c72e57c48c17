"""An exported file, read back to be verified."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from mosaic_audit.chain import ADDED
from mosaic_audit.checkpoints import Span
from mosaic_audit.key import read_key
from mosaic_audit.stored import Filed, Part
from mosaic_hookspecs.audit import AuditCheckpoint
from mosaic_hookspecs.errors import Malformed

_IDS = ("grant_id", "subject_id")


class Exported:
    """Implements :class:`mosaic_audit.stored.Source`. Rows are read one stream at a time, never all at once."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.part = Part()
        self.key = b""
        self._checkpoints: list[Filed] = []
        self._by_checkpoint: dict[int, list[Span]] = defaultdict(list)
        self._by_stream: dict[UUID, list[tuple[int, Span]]] = defaultdict(list)
        self._begins: dict[UUID, int] = {}
        self._lines: dict[UUID, int] = defaultdict(int)

    @classmethod
    def open(cls, path: Path) -> Exported:
        """Look through the whole file once. Raises :class:`Malformed` that says which line cannot be read."""
        exported = cls(path.open("rb"))
        number, place = 1, 0
        last: UUID | None = None
        try:
            for line in exported._file:
                last = exported._take(json.loads(line, object_pairs_hook=_once), place, last)
                number, place = number + 1, place + len(line)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Malformed(
                f"{path}, line {number}: cannot be read ({type(error).__name__})",
                remedy="give a file as `mosaic audit export --format ndjson` writes it",
            ) from None
        if not exported.key:
            raise Malformed(
                f"{path} holds rows without their proof",
                remedy="export without a filter, or with --since only",
            )
        if not exported._knows(exported.part):
            raise Malformed(
                f"{path} says that it is another part of the log than its checkpoints tell",
                remedy="someone has changed it: get another copy",
            )
        return exported

    def _knows(self, part: Part) -> bool:
        """Nobody signs what a file says of itself; it must at least go with what was signed."""
        numbers = {filed.number for filed in self._checkpoints}
        retired = (number for spans in self._by_stream.values() for number, span in spans if span.retired)
        return part.base in {0, *numbers} and part.archive in {None, *retired}

    def _take(self, line: dict[str, Any], place: int, last: UUID | None) -> UUID | None:
        kind = line.pop("type")
        if kind == "log":
            if self.key:
                raise ValueError("said twice")
            self.key, self.part = read_key(line["key"]), Part(int(line["base"]), line["archive"])
        elif kind == "checkpoint":
            checkpoint = AuditCheckpoint(str(line["payload"]), bytes.fromhex(line["signature"]))
            spans = self._by_checkpoint[checkpoint.number]  # they come further down
            self._checkpoints.append(Filed(checkpoint.number, checkpoint.at, checkpoint, spans))
        elif kind == "span":
            number, span = int(line["checkpoint"]), _span(line)
            self._by_checkpoint[number].append(span)
            self._by_stream[span.stream].append((number, span))
        else:
            stream = UUID(line["stream"])
            if stream != last and stream in self._begins:
                raise ValueError("rows of a stream are not together")
            self._begins.setdefault(stream, place)
            self._lines[stream] += 1
            _row(line)
            return stream
        return None

    async def checkpoints(self) -> AsyncIterator[Filed]:
        """As they are in the file."""
        for filed in self._checkpoints:
            yield filed

    async def spans_of_stream(self, stream: UUID) -> Sequence[tuple[int, Span]]:
        """From memory."""
        return self._by_stream.get(stream, [])

    async def stray_span(self) -> int | None:
        """From memory."""
        known = {filed.number for filed in self._checkpoints}
        return min(self._by_checkpoint.keys() - known, default=None)

    async def streams(self) -> Sequence[UUID]:
        """Of rows and spans."""
        return sorted(self._begins.keys() | self._by_stream.keys())

    async def rows(self, stream: UUID, after: int, last: int | None) -> AsyncIterator[Mapping[str, Any]]:
        """All that the file has of it: it was written with what is asked for here."""
        del after, last
        self._file.seek(self._begins.get(stream, 0))
        for _ in range(self._lines.get(stream, 0)):
            yield _row(json.loads(self._file.readline()))


def _once(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two fields with one name, other programs show the first."""
    read = dict(fields)
    if len(read) < len(fields):
        raise ValueError("a field is there twice")
    return read


def _span(line: Mapping[str, Any]) -> Span:
    head, root = bytes.fromhex(line["head"]), bytes.fromhex(line["root"])
    return Span(
        UUID(line["stream"]), int(line["first"]), int(line["last"]), head, root, bool(line["retired"])
    )


def _row(line: Mapping[str, Any]) -> Mapping[str, Any]:
    said = {key: value for key, value in line.items() if key not in ("type", "prev", "hash")}
    ids = {key: UUID(line[key]) for key in _IDS if line[key] is not None}
    return {
        **ADDED,
        **said,
        **ids,
        "stream": UUID(line["stream"]),
        "seq": int(line["seq"]),
        "at": datetime.fromisoformat(line["at"]),
        "payload": json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False),
        "prev": bytes.fromhex(line["prev"]),
        "hash": bytes.fromhex(line["hash"]),
    }
