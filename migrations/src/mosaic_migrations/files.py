"""Migration files as data: found in a package, put in an order that respects what each requires."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from importlib.resources import files

from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.types import MigrationSet

_FILE_NAME = re.compile(r"(?P<version>\d{4})_(?P<slug>[a-z0-9_]+)\.(?P<phase>pre|post)\.sql\Z")
_REQUIRES = re.compile(r"^-- requires:(.*)$", re.MULTILINE)
_REQUIREMENT = re.compile(r"\s*(?P<component>[a-z][a-z0-9_]*)\s*>=\s*(?P<version>\d+)\s*\Z")
_STATEMENT = re.compile(rb"^(?!\s*--)\s*\S", re.MULTILINE)  # a line that is not a comment
_NO_TRANSACTION = re.compile(r"^-- no-transaction\s*$", re.MULTILINE)

Key = tuple[str, int, str]
"""Component, version and phase: what a file is known by in ``mosaic.migrations``."""


@dataclass(frozen=True)
class Migration:
    """One SQL file. ``-- requires: core>=2, audit>=1`` and ``-- no-transaction`` are its headers."""

    component: str
    version: int
    slug: str
    phase: str  # "pre" (before the new code runs) or "post" (once no old code is left)
    content: bytes

    def __str__(self) -> str:
        return f"{self.component}/{self.version:04}_{self.slug}.{self.phase}"

    @property
    def key(self) -> Key:
        """What the file is known by in the database."""
        return self.component, self.version, self.phase

    @cached_property
    def sql(self) -> str:
        """The text of the file."""
        return self.content.decode("utf-8")

    @property
    def sha256(self) -> str:
        """Hex digest of the bytes of the file, kept in the database to notice edits."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def in_transaction(self) -> bool:
        """False for the single statement that Postgres refuses in one, such as CREATE INDEX CONCURRENTLY."""
        return _NO_TRANSACTION.search(self.sql) is None

    @property
    def requires(self) -> Iterator[tuple[str, int]]:
        """Components and the least version of each that must be applied before this file."""
        for line in _REQUIRES.findall(self.sql):
            for text in line.split(","):
                match = _REQUIREMENT.match(text)
                if match is None:
                    raise ConfigError(
                        f"migration {self}.sql: cannot read '-- requires:{line}'",
                        remedy="write it like '-- requires: core>=2, audit>=1'",
                    )
                yield match["component"], int(match["version"])


def discover(sets: Sequence[MigrationSet]) -> dict[Key, Migration]:
    """Read every migration of every set. Raises :class:`ConfigError` for a misnamed or doubled file."""
    found: dict[Key, Migration] = {}
    for migration in (each for one in sets for each in _read(one)):
        if other := found.setdefault(migration.key, migration):
            if other is migration:
                continue
            raise ConfigError(
                f"migrations {other}.sql and {migration}.sql have the same number",
                remedy="give each file of a component its own number and phase",
            )
    return found


def _read(one: MigrationSet) -> Iterator[Migration]:
    try:
        entries = sorted(files(one.package).iterdir(), key=lambda entry: entry.name)
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise ConfigError(
            f"migrations of {one.component}: there is no package {one.package!r}",
            remedy=f"install again the distribution that brings {one.component}",
        ) from error
    for entry in entries:
        if not entry.name.endswith(".sql"):
            continue
        match = _FILE_NAME.match(entry.name)
        if match is None:
            raise ConfigError(
                f"migrations of {one.component}: file {entry.name!r} in {one.package} is misnamed",
                remedy="name it NNNN_slug.pre.sql or NNNN_slug.post.sql",
            )
        content = entry.read_bytes()
        if not _STATEMENT.search(content):
            raise ConfigError(
                f"migrations of {one.component}: file {entry.name!r} in {one.package} holds no statement",
                remedy="write one, or remove the file",
            )
        yield Migration(one.component, int(match["version"]), match["slug"], match["phase"], content)


def in_order(waiting: Sequence[Migration], applied: Collection[Key]) -> list[Migration]:
    """Sort by version within a component, ``pre`` before ``post``, and after all that a file requires.

    Raises :class:`ConfigError` for a requirement that nothing installed or applied meets, and for a cycle.
    """
    waiting = sorted(waiting, key=_position)
    sorter: TopologicalSorter[Migration] = TopologicalSorter()
    previous: dict[str, Migration] = {}
    for migration in waiting:
        before = [previous[migration.component]] if migration.component in previous else []
        sorter.add(migration, *before, *_required(migration, waiting, applied))
        previous[migration.component] = migration
    try:
        return list(sorter.static_order())
    except CycleError as error:
        ring = " → ".join(f"{each}.sql" for each in error.args[1])
        raise ConfigError(
            f"migrations require each other: {ring}", remedy="remove one of their '-- requires' headers"
        ) from error


def _position(migration: Migration) -> tuple[bool, str, int, bool]:
    return migration.component != "core", migration.component, migration.version, migration.phase == "post"


def _required(
    migration: Migration, waiting: Sequence[Migration], applied: Collection[Key]
) -> list[Migration]:
    needed: list[Migration] = []
    for component, least in migration.requires:
        offered = [each for each in waiting if each.component == component and each.version >= least]
        first = min((each.version for each in offered), default=None)
        if any(name == component and version >= least for name, version, _ in applied):
            continue
        if first is None:
            raise ConfigError(
                f"migration {migration}.sql requires {component}>={least}, which is not installed",
                remedy=f"install or upgrade the plugin {component!r} and name it in the config",
            )
        needed += [each for each in offered if each.version == first]
    return needed
