"""The keys that secrets at rest are sealed with, and the file they are kept in."""

from __future__ import annotations

import base64
import json
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mosaic_hookspecs.errors import ConfigError

KEY_FILE = "keys.json"  # in the data directory
ENVIRONMENT = "MOSAIC_SEALING_KEYS"  # the text of a key file; goes before the file

_BYTES = 32  # of a key: AES-256
_LONGEST_ID = 64  # bytes
_OTHERS = 0o077

FileState = tuple[int, int, int]  # changes whenever the file does


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys by id. New secrets are sealed with the active one; the others still open older ones."""

    active: str
    keys: Mapping[str, bytes] = field(repr=False)
    made: Mapping[str, datetime] = field(default_factory=dict)  # unknown for keys made by hand
    unfinished: bool = False  # whether a rotation to the active key was begun and has not ended

    @classmethod
    def new(cls) -> Keys:
        """One key."""
        return cls("", {}).with_new()

    @classmethod
    def parse(cls, text: str) -> Keys:
        """Read ``{"active": id, "keys": {id: base64}, "made": {id: RFC 3339}, "unfinished": bool}``.

        The last two may be absent. Raises :class:`ValueError`.
        """
        try:
            raw = json.loads(text)
            keys = {str(k): base64.b64decode(v, validate=True) for k, v in raw["keys"].items()}
            made = {str(k): datetime.fromisoformat(v) for k, v in raw.get("made", {}).items()}
            found = cls(str(raw["active"]), keys, made, raw.get("unfinished", False) is True)
        except (KeyError, TypeError, AttributeError, RecursionError):
            raise ValueError("not a key file") from None
        if (
            found.active not in keys
            or {len(key) for key in keys.values()} != {_BYTES}
            or not all(map(_is_id, keys))
        ):
            raise ValueError("not a key file")
        if any(at.tzinfo is None for at in made.values()):
            raise ValueError("a time without a zone")
        return found

    def dump(self) -> str:
        """As a key file has it."""
        raw: dict[str, Any] = {
            "active": self.active,
            "keys": {k: base64.b64encode(v).decode() for k, v in self.keys.items()},
            "made": {k: at.isoformat() for k, at in self.made.items() if k in self.keys},
        }
        return json.dumps(raw | ({"unfinished": True} if self.unfinished else {}), indent=2) + "\n"

    def with_new(self) -> Keys:
        """With one more key, active. Its id is random: a file put back from a backup never gives one twice."""
        new = f"k-{secrets.token_hex(4)}"
        made = {**self.made, new: datetime.now(UTC).replace(microsecond=0)}
        return Keys(new, {**self.keys, new: secrets.token_bytes(_BYTES)}, made)

    def without(self, retired: set[str]) -> Keys:
        """Without some keys."""
        return replace(self, keys={k: v for k, v in self.keys.items() if k not in retired})


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key file, mode 0600."""

    path: Path

    def state(self) -> FileState:
        """Of now. Raises :class:`ConfigError` if it is absent or unreadable."""
        try:
            found = self.path.stat()
        except OSError as error:
            raise self._unreadable(error) from None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self) -> Keys:
        """Raise :class:`ConfigError` if it is absent, unreadable, open to others or broken."""
        try:
            mode = self.path.stat().st_mode
            if not stat.S_ISREG(mode):  # a pipe would be waited for
                raise ConfigError(
                    f"key file {self.path} is not a file", remedy="put it back from your backup"
                )
            text = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise self._unreadable(error) from None
        if mode & _OTHERS:
            raise ConfigError(f"key file {self.path} is open to other users", remedy=f"chmod 600 {self.path}")
        try:
            return Keys.parse(text)
        except ValueError:
            raise ConfigError(
                f"key file {self.path} is damaged", remedy="put it back from your backup"
            ) from None

    def write(self, keys: Keys) -> None:
        """Replace the file: whoever reads it, even after a crash, finds the old keys or the new, whole.

        It stays its owner's: root may change keys for a gateway that runs as another user.
        Raises :class:`ConfigError` if its directory cannot be written to.
        """
        target = self.path.resolve()
        new = target.with_name(f"{target.name}.new")
        try:
            new.unlink(missing_ok=True)  # of one who was killed
            _write_new(new, keys, owner=target.stat())
            new.replace(target)
            descriptor = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise ConfigError(
                f"key file {self.path} cannot be replaced: {error.strerror}",
                remedy="make its directory writable for the user who runs mosaic, and make room on its disk",
            ) from None

    def _unreadable(self, error: OSError | UnicodeDecodeError) -> ConfigError:
        if isinstance(error, FileNotFoundError):
            return ConfigError(
                f"key file {self.path} does not exist",
                remedy="put it back from your backup; for a new gateway run `mosaic gateway init`",
            )
        reason = error.strerror if isinstance(error, OSError) else "not text"
        return ConfigError(
            f"key file {self.path} cannot be read: {reason}",
            remedy="run mosaic as the user who owns it, or mend its mode",
        )


def create_keys(path: Path) -> None:
    """Write a new key file, mode 0600. Never overwrites one: without its key, sealed data is lost."""
    _write_new(path, Keys.new())


def _is_id(text: str) -> bool:
    return text != "" and text.isprintable() and len(text.encode()) <= _LONGEST_ID


def _write_new(path: Path, keys: Keys, owner: os.stat_result | None = None) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if owner is not None and owner.st_uid != os.geteuid():
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            file.write(keys.dump())
            file.flush()
            os.fsync(file.fileno())
    except BaseException:  # such as a full disk: an empty key file would be taken for a damaged one
        path.unlink()
        raise
