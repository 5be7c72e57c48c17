"""The gateway's own files: are they there, are they ours, are they closed to others, is there room."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from mosaic_gateway.sealing import ENVIRONMENT, KEY_FILE, Keyring
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.types import Finding, Probe

_GIB = 1024**3
_PLENTY, _SCARCE = 1.0, 0.1  # GiB
_OTHERS = 0o077


def file_probes(data_dir: Path) -> list[Probe]:
    """In threads: a file system may hang, too."""
    return [
        _probe("data directory", lambda: _directory(data_dir)),
        _probe("key file", lambda: _keys(data_dir)),
        _probe("disk", lambda: _disk(data_dir)),
    ]


def _probe(name: str, look: Callable[[], Finding]) -> Probe:
    async def check() -> Finding:
        return await asyncio.to_thread(look)

    return Probe(name, check, standalone=True)


def _directory(path: Path) -> Finding:
    try:
        state = path.stat()
    except OSError as error:
        return Finding("red", f"{path}: {error.strerror}", "run `mosaic gateway init`, or mend data_dir")
    if state.st_uid != os.geteuid():
        return Finding("red", f"{path} belongs to user id {state.st_uid}", "run mosaic as its owner")
    if state.st_mode & _OTHERS:
        return _open_to_others(path, 0o700)
    return Finding("green", str(path))


def _keys(data_dir: Path) -> Finding:
    path = data_dir / KEY_FILE
    if ENVIRONMENT in os.environ:
        return _usable(data_dir, ENVIRONMENT)
    try:
        mine, mode = path.stat().st_uid == os.geteuid(), path.stat().st_mode
    except OSError:
        mine, mode = False, 0
    if mine and mode & _OTHERS:
        return _open_to_others(path, 0o600)
    return _usable(data_dir, str(path))


def _usable(data_dir: Path, source: str) -> Finding:
    try:
        keys = Keyring.load(data_dir).keys
    except ConfigError as error:
        return Finding("red", error.detail, error.remedy)
    if keys.unfinished:
        return Finding("yellow", "a rotation was begun and has not ended", "run `mosaic secrets rotate`")
    return Finding("green", source)


def _open_to_others(path: Path, mode: int) -> Finding:
    async def fix() -> None:
        await asyncio.to_thread(chmod, path, mode)

    linked = path.is_symlink()  # what it points to may be no gateway's
    return Finding("red", f"{path} is open to other users", f"chmod {mode:o} {path}", None if linked else fix)


def chmod(path: Path, mode: int) -> None:
    """Change a file's mode; not through a link: others may have put one there since the look."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def _disk(data_dir: Path) -> Finding:
    try:
        free = shutil.disk_usage(data_dir).free / _GIB
    except OSError as error:
        return Finding("red", f"{data_dir}: {error.strerror}", "mend the finding `data directory` first")
    detail = f"{free:.1f} GiB free"
    if free > _PLENTY:
        return Finding("green", detail)
    return Finding("yellow" if free > _SCARCE else "red", detail, "make room on this disk")
