"""Export: every row a user sees as NDJSON, to stdout or to a file that appears whole or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mosaic_gateway.transfer.progress import Progress, silent
from mosaic_hookspecs.errors import Invalid
from mosaic_hookspecs.types import Viewer

if TYPE_CHECKING:
    from mosaic_gateway.resources import ResourceRows


async def export_rows(
    rows: ResourceRows, viewer: Viewer, resource: str, target: Path | None, *, progress: Progress = silent
) -> int:
    """Write one JSON object per line to ``target``, or to stdout if it is None; return the number of rows.

    The file gets mode 0600. Raises :class:`Invalid` if it cannot be written; what was there then stays.
    """
    rows.resource(resource)  # an unknown resource is refused before anything is opened
    done = 0
    with _opened(target) as out:
        async for item in rows.export(viewer, resource):
            out.write(item + b"\n")
            done += 1
            progress("exporting", done, None)
    return done


@contextmanager
def _opened(target: Path | None) -> Iterator[IO[bytes]]:
    if target is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        if target.exists() and not target.is_file():  # replacing a device or a folder is never meant
            raise Invalid(f"{target} is not a regular file", remedy="use --output - for standard output")
        with _replacing(target.resolve()) as out:
            yield out
    except OSError as error:
        raise Invalid(
            f"{target} cannot be written: {error.strerror}",
            remedy="name a file in a folder that exists, is yours to write, and has room",
        ) from error


@contextmanager
def _replacing(target: Path) -> Iterator[IO[bytes]]:
    """Write beside ``target``, then rename. Raises :class:`OSError`."""
    # mkstemp gives mode 0600
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
