"""From the paths a user names to records: which format each has, and what stands in the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Literal, get_args

from mosaic_gateway.transfer import icalendar_file, markdown_files
from mosaic_gateway.transfer.csv_file import read_csv
from mosaic_gateway.transfer.json_file import read_json, read_ndjson
from mosaic_gateway.transfer.records import BrokenFile, Record
from mosaic_hookspecs.errors import Fault, Invalid
from mosaic_hookspecs.types import Resource

Format = Literal["csv", "json", "ndjson", "ics", "markdown"]
FORMATS: tuple[Format, ...] = get_args(Format)

READERS: dict[Format, Callable[[Path, Resource], Iterator[Record | Fault]]] = {
    "csv": read_csv,
    "json": read_json,
    "ndjson": read_ndjson,
    "ics": icalendar_file.read_icalendar,
    "markdown": markdown_files.read_markdown,
}
#: Fields that a resource must have for a format whose own fields are fixed.
NEEDS: dict[Format, frozenset[str]] = {"ics": icalendar_file.FIELDS, "markdown": markdown_files.FIELDS}
SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".ics": "ics",
    **dict.fromkeys(markdown_files.SUFFIXES, "markdown"),
}


@dataclass(frozen=True, slots=True)
class Source:
    """A file, or a folder of Markdown files, and its format."""

    path: Path
    format: Format


def find_sources(paths: Sequence[Path], chosen: Format | Literal["auto"], resource: Resource) -> list[Source]:
    """Give each path its format: the chosen one, or by suffix; a folder is Markdown.

    Raises :class:`Invalid` naming every path that cannot be imported into this resource.
    """
    found = [_source(path, chosen, resource) for path in paths]
    if faults := [each for each in found if isinstance(each, Fault)]:
        number = "1 file" if len(faults) == 1 else f"{len(faults)} files"
        raise Invalid(f"{number} cannot be imported into {resource.name}", faults=faults)
    return [each for each in found if isinstance(each, Source)]


def _source(path: Path, chosen: Format | Literal["auto"], resource: Resource) -> Source | Fault:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return Fault(str(path), f"cannot be read: {error.strerror}")
    guess = "markdown" if S_ISDIR(mode) else SUFFIXES.get(path.suffix.lower())
    form = guess if chosen == "auto" else chosen
    if form is None:
        return Fault(str(path), f"its name does not tell the format: add --format with {', '.join(FORMATS)}")
    if problem := _problem(mode, form, resource):
        return Fault(str(path), problem)
    return Source(path, form)


def _problem(mode: int, form: Format, resource: Resource) -> str:
    if S_ISDIR(mode) and form != "markdown":
        return f"a folder, but {form} needs a file"
    if not S_ISDIR(mode) and not S_ISREG(mode):
        return "not a regular file; it is read twice, so a pipe will not do"
    if missing := NEEDS.get(form, frozenset()) - set(resource.model.model_fields):
        return f"{form} needs fields that {resource.name} lacks: {', '.join(sorted(missing))}"
    return ""


def read(source: Source, resource: Resource) -> Iterator[Record | Fault]:
    """Yield records, and as a fault whatever cannot be one; a file without any record is a fault too."""
    empty = True
    try:
        for item in READERS[source.format](source.path, resource):
            empty = False
            yield item
    except BrokenFile as error:
        yield error.fault
    except OSError as error:
        yield Fault(str(error.filename or source.path), f"cannot be read: {error.strerror}")
    else:
        if empty:
            yield Fault(str(source.path), "holds no rows")
