"""Write the project of a new plugin: whole, or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from mosaic_gateway.scaffold.kinds import KINDS
from mosaic_gateway.scaffold.names import check_name, normalised
from mosaic_hookspecs.errors import ConfigError, Conflict

_SUFFIX = ".tmpl"  # no linter, test runner or type checker takes a template for what it will become


class _Text(Template):
    """Of a file or of its name. Neither Python, TOML, YAML, SQL nor Markdown has ``@@``."""

    delimiter = "@@"


def write_project(kind: str, name: str, directory: Path) -> list[Path]:
    """Write a plugin of ``kind``, a key of ``KINDS``, into a new or empty directory; return its files.

    Raises :class:`Malformed` or :class:`Conflict` for the name, :class:`Conflict` for a directory that holds
    something, and :class:`ConfigError` for one that cannot be written.
    """
    words = _words(kind, check_name(name))
    try:
        if directory.is_symlink() or (directory.exists() and not _is_empty(directory)):
            raise Conflict(f"{directory} holds something already", remedy="name another with --directory")
        directory.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
        try:
            written = _write(kind, words, beside)
            beside.chmod(0o755)  # mkdtemp's is closed to others
            beside.rename(directory)  # takes the place of an empty directory, and of nothing else
        except BaseException:
            shutil.rmtree(beside)
            raise
    except OSError as error:
        raise ConfigError(
            f"{directory} cannot be written: {error.strerror}", remedy="name another with --directory"
        ) from None
    return [directory / path for path in written]


def _is_empty(directory: Path) -> bool:
    return directory.is_dir() and not any(directory.iterdir())


def _write(kind: str, words: Mapping[str, str], directory: Path) -> list[Path]:
    written = []
    root = files("mosaic_gateway.scaffold") / "templates"
    for part in ("common", kind):
        for path, file in _files(root / part):
            relative = Path(_Text(path).substitute(words).removesuffix(_SUFFIX))
            text = _Text(file.read_text(encoding="utf-8")).substitute(words)
            (directory / relative).parent.mkdir(parents=True, exist_ok=True)
            (directory / relative).write_text(text, encoding="utf-8")
            written.append(relative)
    return sorted(written)


def _files(folder: Traversable, *at: str) -> Iterator[tuple[str, Traversable]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _files(each, *at, each.name)
        elif each.name.endswith(_SUFFIX):
            yield "/".join((*at, each.name)), each


def _words(kind: str, name: str) -> dict[str, str]:
    chosen = KINDS[kind]
    words = {
        "name": name,
        "package": f"mosaic_{name}",
        "distribution": f"mosaic-{normalised(name)}",
        "title": name.replace("_", " ").capitalize(),
        "summary": chosen.summary,
    }
    storage = {"storage": {"type": name}} if chosen.selected else {}
    config = {**storage, "plugins": {name: dict(chosen.settings)}}
    dependencies = (f"mosaic-hookspecs{_compatible(version('mosaic-hookspecs'))}", *chosen.requires)
    return words | {
        "about": _Text(chosen.about).substitute(words) + "\n",
        "config": json.dumps(config, indent=2),
        "dependencies": ", ".join(f'"{each}"' for each in dependencies),
    }


def _compatible(release: str) -> str:
    """The releases that keep what this one promises: ``>=0.2,<0.3``, and from the first on ``>=1.4,<2``."""
    major, minor = map(int, release.split(".")[:2])
    return f">={major}.{minor},<{major + 1}" if major else f">=0.{minor},<0.{minor + 1}"
