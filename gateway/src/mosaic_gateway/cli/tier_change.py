"""What a config says once its rows have moved, and writing it there."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mosaic_gateway.config import Source
from mosaic_hookspecs.errors import ConfigError

_KEPT = ("enable_vector", "pool")  # of the table storage: what is not about where it is


@dataclass(frozen=True, slots=True)
class TierChange:
    """The change of one config file. No secret is in it: a password stays in its file."""

    source: Source
    tier: str
    url: str
    password_file: Path | None

    @property
    def path(self) -> Path:
        """The config file."""
        return self.source.path

    def is_made(self) -> bool:
        """Whether the config names this tier and database already."""
        storage = self.source.data.get("storage")
        return (
            self.source.data.get("tier") == self.tier
            and isinstance(storage, dict)
            and storage.get("url") == self.url
        )

    def is_possible(self) -> bool:
        """Whether the file can be rewritten without losing its comments."""
        return self.path.suffix == ".json" and os.access(self.path.parent, os.W_OK)

    def check(self) -> None:
        """Raise :class:`ConfigError` unless the file can be rewritten."""
        if not self.is_possible():
            raise ConfigError(
                f"{self.path} cannot be rewritten without losing its comments, or its folder is read-only",
                remedy="leave --write-config out: the change is printed at the end",
            )

    def text(self) -> str:
        """The changed keys, as JSON."""
        return json.dumps(self._changed({}), indent=2, ensure_ascii=False)

    def write(self) -> Path:
        """Rewrite the file, whole or not at all; return where the old one is kept."""
        old = self.path.with_name(f"{self.path.name}.before-{self.tier}")
        fresh = self.path.with_name(f"{self.path.name}.new")
        try:
            data = self._changed(json.loads(self.path.read_text(encoding="utf-8")))
            shutil.copy2(self.path, old)
            shutil.copy2(self.path, fresh)  # its mode, too
            with fresh.open("w", encoding="utf-8") as file:
                file.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except OSError as error:
            raise ConfigError(
                f"{self.path} cannot be rewritten: {error.strerror}",
                remedy=f"change it by hand:\n{self.text()}",
            ) from None
        return old

    def _changed(self, data: dict[str, Any]) -> dict[str, Any]:
        before = data.get("storage", {})
        storage = {key: before[key] for key in _KEPT if key in before} | {"url": self.url}
        if self.password_file:
            storage["password_file"] = str(self.password_file.absolute())
        return data | {"tier": self.tier, "storage": storage}
