"""What a config says once its rows have moved, what the new tier still wants, and writing it there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mosaic_gateway.config import Source
from mosaic_gateway.config.documents import dump, parse
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.types import Tier

_KEPT = ("enable_vector", "pool")  # of the table storage: what is not about where it is


@dataclass(frozen=True, slots=True)
class TierChange:
    """The change of one config file. No secret is in it: a password stays in its file."""

    source: Source
    before: Tier
    tier: Tier
    storage: Mapping[str, str]  # url and password_file, as asked for
    queue: Mapping[str, str]  # the same; empty: as it was, or the new tier's default

    @property
    def path(self) -> Path:
        """The config file."""
        return self.source.path

    def is_made(self) -> bool:
        """Whether the config names this tier and database already."""
        storage = self.source.data.get("storage")
        return (
            self.source.data.get("tier") == self.tier.name
            and isinstance(storage, dict)
            and storage.get("url") == self.storage["url"]
        )

    def is_possible(self) -> bool:
        """Whether the file can be rewritten."""
        return os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)

    def check(self) -> None:
        """Raise :class:`ConfigError` unless the file can be rewritten."""
        if not self.is_possible():
            raise ConfigError(
                f"{self.path}, or its folder, is read-only",
                remedy="leave --write-config out: the change is printed at the end",
            )

    def text(self) -> str:
        """The changed keys, in the language of the file. An old URL, which may hold a password, is none of them."""
        data = self._document()
        changes, old = self._changes(data), _table(data, "queue")
        changes["queue"] = {k: v for k, v in changes["queue"].items() if (k, v) not in old.items()}
        return dump(self.path.suffix, {}, {key: value for key, value in changes.items() if value})

    def notes(self) -> list[str]:
        """What this change alone does not do."""
        return [*self._missing(), *self._overridden(), *self._left_jobs()]

    def write(self) -> Path:
        """Rewrite the file, whole or not at all; return where the old one is kept."""
        old = _unused(self.path.with_name(f"{self.path.name}.before-{self.tier.name}"))
        fresh = self.path.with_name(f"{self.path.name}.new")
        by_hand = self.text()
        try:
            document = self._document()
            text = dump(self.path.suffix, document, self._changes(document))
            _copy(self.path, old)
            fresh.unlink(missing_ok=True)  # of one who was killed
            _copy(self.path, fresh)
            with fresh.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except OSError as error:
            raise ConfigError(
                f"{self.path} cannot be rewritten: {error.strerror}",
                remedy=f"change it by hand:\n{by_hand}",
            ) from None
        return old

    def _document(self) -> Any:
        return parse(self.path.suffix, self.path.read_text(encoding="utf-8"))

    def _changes(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The keys that change, given what the file says, without the environment: that may hold secrets."""
        storage = {key: value for key, value in _table(data, "storage").items() if key in _KEPT}
        queue = {key: value for key, value in _table(data, "queue").items() if key != "type"}
        # Named even where it is a default: the other tier's default is another server.
        default = self.before.queue_url or self.tier.queue_url
        return {
            "tier": self.tier.name,
            "storage": storage | dict(self.storage),
            "queue": {"url": default} | queue | dict(self.queue),
        }

    def _missing(self) -> list[str]:
        """Why a gateway with the changed config would not start."""
        from mosaic_gateway.compose import compose

        try:
            compose(replace(self.source, data=self.source.data | self._changes(self.source.data)))
        except ConfigError as error:
            told = [str(fault) for fault in error.faults] or [f"{error.detail}: {error.remedy}"]
            return [f"the tier {self.tier.name!r} will not start yet: {each}" for each in told]
        return []

    def _overridden(self) -> list[str]:
        from mosaic_gateway.config import read_origins

        origins = read_origins(self.source)
        changed = {("tier",), *((table, key) for table in ("storage", "queue") for key in ("type", "url"))}
        names = sorted({origin for path, origin in origins.items() if path in changed})
        variables = [name for name in names if name.startswith("MOSAIC_")]
        return [f"{name} in the environment goes before the config: change it, too" for name in variables]

    def _left_jobs(self) -> list[str]:
        if self.before.queue == self.tier.queue:
            return []
        return [
            f"jobs that wait in the queue {self.before.queue!r} are copied as rows, and {self.tier.queue!r} will "
            "not run them; schedules begin anew"
        ]


def _table(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = data.get(name)
    return table if isinstance(table, MutableMapping) else {}


def _copy(path: Path, to: Path) -> None:
    """With its mode and owner, at no moment more open, and through no link: a config may hold a password."""
    to.touch(mode=0o600, exist_ok=False)
    shutil.copy2(path, to)
    if os.geteuid() == 0:  # root may do this for a gateway that runs as another user
        owner = path.stat()
        os.chown(to, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _unused(path: Path) -> Path:
    """The path, or with the first number that no file has: an old config is never written over."""
    number = 1
    found = path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found
