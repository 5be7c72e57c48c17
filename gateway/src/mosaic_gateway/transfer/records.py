"""What every reader yields, and how a reader gets at text: UTF-8 only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import count
from pathlib import Path

from mosaic_hookspecs.errors import Fault
from mosaic_hookspecs.types import STANDARD_COLUMNS, Resource

#: Bytes in one line of CSV, NDJSON or iCalendar: room for a note of 10 million characters, escaped. A longer
#: line is a broken file and must not fill the memory.
MAX_LINE = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """One row to be, and where it was read: ``tasks.csv:7001``, ``tasks.json[12]``, ``notes/a.md``."""

    where: str
    fields: dict[str, object]


class BrokenFile(Exception):
    """The rest of a file cannot be read. A fault in one record only is yielded instead."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")
        self.fault = Fault(where, message)


def lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file with their ends, without a byte order mark. Raises :class:`BrokenFile`."""
    with path.open("rb") as file:
        for number in count(1):
            raw = file.readline(MAX_LINE + 1)
            if not raw:
                return
            if len(raw) > MAX_LINE:
                raise BrokenFile(f"{path}:{number}", f"the line is longer than {MAX_LINE:,} bytes")
            text = _decode(raw, path, number)
            yield text.removeprefix("\ufeff") if number == 1 else text


def whole_text(path: Path) -> str:
    """Return a file's text without a byte order mark. Raises :class:`BrokenFile`."""
    return _decode(path.read_bytes(), path, 1).removeprefix("\ufeff")


def _decode(raw: bytes, path: Path, first_line: int) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = first_line + raw.count(b"\n", 0, error.start)
        raise BrokenFile(
            f"{path}:{line}", f"byte 0x{raw[error.start]:02x} is not UTF-8: save the file as UTF-8"
        ) from None


def known_fields(resource: Resource) -> tuple[str, ...]:
    """Every name a record of this resource may carry."""
    return (*resource.model.model_fields, *STANDARD_COLUMNS)


def unknown_field(name: str, resource: Resource) -> str:
    """Say that a resource has no such field, and which one comes nearest."""
    near = get_close_matches(name.lower(), known_fields(resource), n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(resource.model.model_fields)}"
    return f"{resource.name} has no field {name!r}: {hint}"
