"""Put a new authority's files in place: all or none, closed to others, never over anything."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from mosaic_hookspecs.errors import ConfigError, Conflict
from mosaic_step_ca.directory import NewAuthority


@contextmanager
def written(new: NewAuthority, directory: Path, root_directory: Path) -> Iterator[None]:
    """Make both directories; when the block fails, they are gone again.

    Raises :class:`Conflict` where one exists, :class:`ConfigError` where it cannot be written.
    """
    made: list[Path] = []
    try:
        for place, contents in ((root_directory, new.root_files), (directory, new.files)):
            _place(place, contents, empty=("db",) if place == directory else ())
            made.append(place)
        yield
    except BaseException:
        for place in made:
            shutil.rmtree(place)
        raise


def _place(place: Path, contents: Mapping[str, bytes], *, empty: tuple[str, ...]) -> None:
    if place.is_symlink() or (place.exists() and (not place.is_dir() or any(place.iterdir()))):
        raise Conflict(
            f"{place} exists already", remedy="choose another directory; this one is left as it is"
        )
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        half = Path(mkdtemp(prefix=f".{place.name}.", dir=place.parent))  # 0700
    except OSError as error:
        raise _cannot(place, error) from None
    try:
        for folder in empty:
            (half / folder).mkdir(mode=0o700)
        for name, content in contents.items():
            _write(half / name, content)
        half.rename(place)  # atomic; only ever over an empty directory
        _sync(place.parent)
    except OSError as error:
        raise _cannot(place, error) from None
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot(place: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{place} cannot be written: {error.strerror}", remedy="choose another directory")
