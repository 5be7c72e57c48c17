"""Markdown with YAML front matter: one record per file, or per file of a folder and its subfolders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import yaml
from frontmatter.default_handlers import YAMLHandler
from markdown_it import MarkdownIt

from mosaic_gateway.transfer.records import BrokenFile, Record, whole_text
from mosaic_hookspecs.errors import Fault
from mosaic_hookspecs.types import Resource

FIELDS = frozenset({"title", "body", "tags"})
SUFFIXES = frozenset({".md", ".markdown"})


class _Loader(yaml.SafeLoader):
    """YAML as data only, without merge keys (``<<``): nested ones unfold without end.

    Not the C loader: it crashes on deep nesting.
    """

    def flatten_mapping(self, _node: yaml.MappingNode) -> None:
        """Leave ``<<`` as it stands; it then has no constructor, and is refused."""


def read_markdown(path: Path, _resource: Resource) -> Iterator[Record | Fault]:
    """Yield a record per file. Hidden folders and files are skipped, links to folders not followed.

    A link to a file outside is a fault: a stranger's folder must not bring in what only the importer may read.
    """
    if not path.is_dir():
        yield _read_one(path, path.name)
        return
    inside = os.path.realpath(path)
    for file in _files(path):
        if file.is_file() and Path(os.path.realpath(file)).is_relative_to(inside):
            yield _read_one(file, file.relative_to(path).as_posix())
        else:
            yield Fault(str(file), "not a regular file of this folder")


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(parent, name)
            if file.suffix.lower() in SUFFIXES and not name.startswith("."):
                yield file


def _refuse(error: OSError) -> None:
    raise error


def _read_one(file: Path, name: str) -> Record | Fault:
    """Read one file; ``name``, its path below the folder, is its identity unless front matter has an id."""
    try:
        meta, body = _split(file)
        fields: dict[str, object] = {
            "external_id": _scalar(meta, "id", file) or name,
            "title": _scalar(meta, "title", file) or _first_heading(body) or file.stem,
            "body": body,
            "tags": _tags(meta, file),
        }
    except BrokenFile as error:
        return error.fault
    except OSError as error:
        return Fault(str(file), f"cannot be read: {error.strerror}")
    return Record(str(file), fields)


def _split(file: Path) -> tuple[dict[str, object], str]:
    """Separate front matter from body."""
    text = whole_text(file).replace("\r\n", "\n")
    handler = YAMLHandler()
    if not handler.detect(text):  # asked here because frontmatter would also split at rules inside the body
        return {}, text.strip()
    try:
        front, body = handler.split(text)
    except ValueError:
        raise BrokenFile(f"{file}:1", "front matter opens with --- and never closes") from None
    try:
        meta = handler.load(front, Loader=_Loader)
    except RecursionError:
        raise BrokenFile(f"{file}:1", "front matter is not YAML: nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: such as month 13
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1 + text[: text.index(front)].count(chr(10))}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise BrokenFile(f"{file}{line}", f"front matter is not YAML: {problem}") from None
    if meta is not None and not isinstance(meta, dict):
        raise BrokenFile(f"{file}:1", "front matter is not a list of 'key: value' lines")
    return meta or {}, body.strip()


def _scalar(meta: dict[str, object], key: str, file: Path) -> str:
    """Return a single value as text, empty if absent."""
    value = meta.get(key)
    if isinstance(value, dict | list):
        raise BrokenFile(str(file), f"front matter: {key} is not a single value")
    return "" if value is None else _word(value, key, file)


def _tags(meta: dict[str, object], file: Path) -> list[str]:
    """Return tags given as a YAML list, or as one text with commas."""
    value = meta.get("tags") or []
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list) or any(isinstance(item, dict | list) for item in items):
        raise BrokenFile(str(file), "front matter: tags is not a list of words")
    return [text for item in items if (text := _word(item, "tags", file).strip())]


def _word(value: object, key: str, file: Path) -> str:
    try:
        return str(value)
    except ValueError:  # a number of thousands of digits
        raise BrokenFile(str(file), f"front matter: {key} is a number too long to be text") from None


def _first_heading(body: str) -> str:
    """Return the text of the first heading, without its markup; a ``#`` inside a code block is none."""
    tokens = MarkdownIt("commonmark").parse(body)
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            return "".join(child.content for child in inline.children or ()).strip()
    return ""
