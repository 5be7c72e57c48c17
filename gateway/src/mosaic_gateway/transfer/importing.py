"""Import: read everything once to find every fault, then once more to store it, all or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from mosaic_gateway.transfer.progress import Progress, silent
from mosaic_gateway.transfer.records import Record
from mosaic_gateway.transfer.sources import Source, read
from mosaic_hookspecs.errors import Fault, Invalid
from mosaic_hookspecs.types import STANDARD_COLUMNS, Resource, User

if TYPE_CHECKING:
    from mosaic_gateway.resources import ResourceRows

SHOWN_FAULTS = 20
#: What an export carries and an import leaves out: the gateway sets these, and ``--team`` names the team.
IGNORED = frozenset(STANDARD_COLUMNS) - {"external_id"}


@dataclass(frozen=True, slots=True)
class Report:
    """What an import did, or with ``dry_run`` would have done; numbers of rows."""

    created: int
    updated: int
    unchanged: int
    without_external_id: int
    dry_run: bool

    def __str__(self) -> str:
        """One line for a person, with a warning about rows that have no identity."""
        line = f"{self.created} created, {self.updated} updated, {self.unchanged} unchanged"
        if self.dry_run:
            line += " (dry run: nothing was stored)"
        if number := self.without_external_id:
            line += f"; {number} {_plural(number, 'row')} had no external_id: importing again will duplicate "
            line += "it" if number == 1 else "them"
        return line


@dataclass(slots=True)
class _Tally:
    """What the first pass has seen so far."""

    rows: int = 0
    without_external_id: int = 0
    faulty: int = 0
    shown: list[Fault] = field(default_factory=list)
    first_use: dict[str, str] = field(default_factory=dict)  # external_id → where

    def refuse(self, faults: Sequence[Fault]) -> None:
        self.faulty += len(faults)
        room = SHOWN_FAULTS - len(self.shown)
        self.shown += [Fault(_printable(fault.where), _printable(fault.message)) for fault in faults[:room]]


async def import_files(
    rows: ResourceRows,
    viewer: User,
    resource: str,
    sources: Sequence[Source],
    *,
    team_id: UUID | None,
    dry_run: bool,
    progress: Progress = silent,
) -> Report:
    """Store every record of ``sources`` as the viewer's rows, or as the team's, in one transaction.

    Rows with an ``external_id`` stored before are updated. Raises :class:`Invalid`, with nothing stored, if
    anything at all is wrong with any record; the first 20 faults are in it and the others counted.
    """
    model = rows.resource(resource)
    tally = _check(rows, model, sources, progress)
    # A list, because one call is one transaction: all or nothing.
    records = list(_records(model, sources, tally.rows, progress))
    stored = await rows.store_many(viewer, resource, records, team_id=team_id, dry_run=dry_run)
    return Report(stored.created, stored.updated, stored.unchanged, tally.without_external_id, dry_run)


def _check(rows: ResourceRows, resource: Resource, sources: Sequence[Source], progress: Progress) -> _Tally:
    tally = _Tally()
    for item in _read_all(sources, resource):
        tally.rows += 1
        tally.refuse(_faults(rows, resource, item, tally))
        progress("checking", tally.rows, None)
    if tally.faulty:
        further = tally.faulty - len(tally.shown)
        raise Invalid(
            f"nothing was imported into {resource.name}: {tally.faulty} {_plural(tally.faulty, 'fault')} found"
            + (f", the first {SHOWN_FAULTS} are shown and {further} more are not" if further else ""),
            remedy="correct them and import again",
            faults=tally.shown,
        )
    return tally


def _printable(text: str) -> str:
    """Escape what a stranger's file could send to the terminal: control characters, broken file names."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _plural(number: int, word: str) -> str:
    return word if number == 1 else f"{word}s"


def _faults(rows: ResourceRows, resource: Resource, item: Record | Fault, tally: _Tally) -> list[Fault]:
    """Find all that is wrong with one record."""
    if isinstance(item, Fault):
        return [item]
    fields = storable(item)
    return [
        *(Fault(item.where, str(f).removeprefix("/")) for f in rows.check(resource.name, fields)),
        *_repeated(fields.get("external_id"), item.where, tally),
    ]


def _repeated(external_id: object, where: str, tally: _Tally) -> list[Fault]:
    """Two records of one import with the same external id would overwrite each other."""
    if external_id is None:
        tally.without_external_id += 1
    elif isinstance(external_id, str):
        if first := tally.first_use.get(external_id):
            return [Fault(where, f"external_id {external_id!r} was already used at {first}")]
        tally.first_use[external_id] = where
    return []


def _records(
    resource: Resource, sources: Sequence[Source], total: int, progress: Progress
) -> Iterator[Mapping[str, object]]:
    """Read again what was found good."""
    for done, item in enumerate(_read_all(sources, resource), 1):
        if isinstance(item, Fault):
            raise Invalid("a file changed while it was being imported; nothing was stored", faults=[item])
        yield storable(item)
        progress("storing", done, total)


def _read_all(sources: Sequence[Source], resource: Resource) -> Iterator[Record | Fault]:
    for source in sources:
        yield from read(source, resource)


def storable(record: Record) -> dict[str, object]:
    """Leave out what an import may not set, and an ``external_id`` that is null."""
    return {
        name: value
        for name, value in record.fields.items()
        if name not in IGNORED and not (name == "external_id" and value is None)
    }
