"""JSON (one array or one object, read whole) and NDJSON (one object per line, streamed)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from mosaic_gateway.transfer.records import BrokenFile, Record, lines, whole_text
from mosaic_hookspecs.errors import Fault
from mosaic_hookspecs.types import Resource


def read_json(path: Path, _resource: Resource) -> Iterator[Record | Fault]:
    """Yield a record per object. Raises :class:`BrokenFile` for what is not JSON (RFC 8259)."""
    text = whole_text(path)
    if not text.strip():
        return
    try:
        document = _parse(text)
    except json.JSONDecodeError as error:
        raise BrokenFile(f"{path}:{error.lineno}", f"not JSON: {error.msg} (column {error.colno})") from None
    except ValueError as error:
        raise BrokenFile(str(path), f"not JSON: {error}") from None
    if isinstance(document, list):
        for index, item in enumerate(document):
            yield _record(f"{path}[{index}]", item)
    else:
        yield _record(str(path), document)


def read_ndjson(path: Path, _resource: Resource) -> Iterator[Record | Fault]:
    """Yield a record per line; a broken line is a fault of its own. Blank lines are skipped."""
    for number, line in enumerate(lines(path), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            yield _record(where, _parse(line))
        except json.JSONDecodeError as error:
            yield Fault(where, f"not JSON: {error.msg} (column {error.colno})")
        except ValueError as error:
            yield Fault(where, f"not JSON: {error}")


def _parse(text: str) -> object:
    """Parse strictly. Raises :class:`ValueError`, also for NaN, a name given twice and absurd nesting."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("an object has the same name twice")
    return made


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")


def _record(where: str, item: object) -> Record | Fault:
    if isinstance(item, dict):
        return Record(where, item)
    return Fault(where, "expected an object with the row's fields")
