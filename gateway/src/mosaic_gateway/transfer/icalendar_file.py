"""iCalendar (RFC 5545): one record per VTODO; events, journals and alarms are passed over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, TypeVar, cast

from icalendar import Timezone, Todo

from mosaic_gateway.transfer.records import BrokenFile, Record, lines
from mosaic_hookspecs.errors import Fault
from mosaic_hookspecs.types import Resource

FIELDS = frozenset({"title", "body", "status", "priority", "due_at", "completed_at", "tags"})
STATUS = {"NEEDS-ACTION": "open", "IN-PROCESS": "doing", "COMPLETED": "done", "CANCELLED": "cancelled"}

C = TypeVar("C", Timezone, Todo)


@dataclass(slots=True)
class _Block:
    """The lines from ``BEGIN:name`` on line ``start`` to its ``END``."""

    name: str
    start: int
    text: list[str] = field(default_factory=list)


def read_icalendar(path: Path, _resource: Resource) -> Iterator[Record | Fault]:
    """Yield a record per VTODO. Raises :class:`BrokenFile` where components do not nest."""
    blocks = list(_blocks(path))
    for block in blocks:  # first, so that a time zone may stand below the tasks that name it
        if block.name == "VTIMEZONE":
            _parse(Timezone, block, f"{path}:{block.start}")
    for number, block in enumerate((b for b in blocks if b.name == "VTODO"), 1):
        where = f"{path}:VTODO {number} (line {block.start})"
        try:
            yield Record(where, _fields(_parse(Todo, block, where), where))
        except BrokenFile as error:
            yield error.fault


def _blocks(path: Path) -> Iterator[_Block]:
    """Yield the components right below VCALENDAR. By hand: icalendar keeps no line numbers."""
    stack: list[_Block] = []
    for number, line in enumerate(lines(path), 1):
        keyword, _, name = line.rstrip().upper().partition(":")  # a folded line starts with a space
        where = f"{path}:{number}"
        if keyword == "BEGIN":
            stack.append(_Block(name, number))
        if line.strip() and (not stack or stack[0].name != "VCALENDAR"):
            raise BrokenFile(where, "expected BEGIN:VCALENDAR")
        if len(stack) > 1:
            stack[1].text.append(line)
        if keyword == "END":
            block = stack.pop()
            if name != block.name:
                raise BrokenFile(where, f"END:{name} found, but {block.name} of line {block.start} is open")
            if len(stack) == 1:
                yield block
    if stack:
        raise BrokenFile(f"{path}:{stack[-1].start}", f"{stack[-1].name} has no END")


def _parse(kind: type[C], block: _Block, where: str) -> C:
    try:
        return cast(C, kind.from_ical("".join(block.text)))  # one block holds one component
    except (ValueError, IndexError, KeyError) as error:
        raise BrokenFile(where, f"not iCalendar: {str(error)[:200]}") from None


def _fields(todo: Todo, where: str) -> dict[str, object]:
    found = {
        "external_id": _identity(todo, where),
        "title": _text(todo, "SUMMARY", where),
        "body": _text(todo, "DESCRIPTION", where),
        "status": _status(todo, where),
        "priority": _number(todo, "PRIORITY", where),
        "due_at": _moment(todo, "DUE", where),
        "completed_at": _moment(todo, "COMPLETED", where),
        "tags": [str(category) for category in todo.categories],
    }
    return {name: value for name, value in found.items() if value not in (None, [])}


def _identity(todo: Todo, where: str) -> str:
    """Return the UID; a changed occurrence of a repeating task has an identity of its own."""
    uid = _text(todo, "UID", where)
    if not uid:
        raise BrokenFile(where, "no UID")
    occurrence = _moment(todo, "RECURRENCE-ID", where)
    return f"{uid}/{occurrence}" if occurrence else uid


def _single(todo: Todo, name: str, where: str) -> Any:
    value = todo.get(name)
    if isinstance(value, list):
        raise BrokenFile(where, f"{name} is there {len(value)} times")
    return value


def _text(todo: Todo, name: str, where: str) -> str | None:
    value = _single(todo, name, where)
    return None if value is None else str(value)


def _number(todo: Todo, name: str, where: str) -> int | None:
    value = _single(todo, name, where)
    return None if value is None else int(value)  # a plain int, not the library's kind


def _status(todo: Todo, where: str) -> str | None:
    value = _text(todo, "STATUS", where)
    if value is None:
        return None
    if value.upper() not in STATUS:
        raise BrokenFile(where, f"STATUS {value!r} is not one of {', '.join(STATUS)}")
    return STATUS[value.upper()]


def _moment(todo: Todo, name: str, where: str) -> str | None:
    """Return an ISO 8601 time with offset. A date alone is its midnight, and a time without zone is UTC."""
    value = _single(todo, name, where)
    if value is None:
        return None
    moment = value.dt
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    if not isinstance(moment, datetime):
        raise BrokenFile(where, f"{name} is not a date or a time")
    if moment.tzinfo is None and (zone := value.params.get("TZID")):
        raise BrokenFile(where, f"{name}: the time zone {zone!r} is neither known nor defined in the file")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
