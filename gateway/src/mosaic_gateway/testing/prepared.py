"""Directories of gateways: their database is made once in each process, for it takes a second, and then copied."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from mosaic_gateway.identity import Identities

T = TypeVar("T")
CONFIG = "mosaic.config.json"
_LOCAL = {"tier": "local", "data_dir": "data"}
LIFE = timedelta(days=1)  # of a token
_MEMORY = Path("/dev/shm")  # noqa: S108 - Linux; a folder of our own is made in it
_ROOM = 2 << 30  # bytes; a gateway takes 50 MB


def new_folder() -> Path:
    """An empty one that whoever makes it removes. The database may run as another user, who has to reach it."""
    folder = Path(tempfile.mkdtemp(prefix="mosaic-kit-", dir=roomy_place()))
    folder.chmod(0o711)
    return folder


def roomy_place() -> Path:
    """A folder in memory, where there is room: a busy disk makes databases that come and go ten times slower."""
    with suppress(OSError):
        if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
            return _MEMORY
    return Path(tempfile.gettempdir())


def kept_folder() -> Path:
    """One that is removed when this process ends."""
    folder = new_folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def prepare(directory: Path, config: Mapping[str, Any]) -> Path:
    """Make what ``mosaic gateway init`` makes on the local tier, save the first user; return the config's path.

    Every gateway has keys of its own.
    """
    from mosaic_gateway.sealing import KEY_FILE, create_keys

    template = _template()
    directory.mkdir()
    # cp: it knows how to clone files where the disk can, and keeps their owners
    subprocess.run(["cp", "-a", template / "data", directory / "data"], check=True)  # noqa: S603, S607
    create_keys(directory / "data" / KEY_FILE)
    return _write(directory, config)


async def add_user(identities: Identities, username: str, *, admin: bool = False) -> str:
    """Add a user; return a token of theirs."""
    await identities.add_user(username, admin=admin)
    return (await identities.create_token(username, name="test", expires_in=LIFE)).secret


def apart(work: Callable[[], Awaitable[T]]) -> T:
    """Await it in a thread with a loop of its own: a test may have one running in this thread."""

    async def main() -> T:
        return await work()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, main()).result()


@cache
def _template() -> Path:
    """A data directory with the gateway's own tables, and no keys, for all gateways of this process."""
    from mosaic_gateway.boot import open_storage, prepare_data_dir
    from mosaic_gateway.compose import compose
    from mosaic_gateway.config import Source
    from mosaic_gateway.sealing import KEY_FILE

    folder = kept_folder()
    # not read from the file: variables of the author's would be laid over it
    composition = compose(Source(folder / CONFIG, {**_LOCAL, "name": "template"}))
    prepare_data_dir(composition.config.data_dir)

    async def work() -> None:
        async with open_storage(composition, serving=False):
            pass

    apart(work)
    (folder / "data" / KEY_FILE).unlink()
    return folder


def _write(directory: Path, config: Mapping[str, Any]) -> Path:
    path = directory / CONFIG
    path.write_text(json.dumps(_LOCAL | dict(config), indent=2))
    return path
