"""File locks that end with the process that holds them, however it ends (flock(2))."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path


class FileLock:
    """One open lock file. By hand: the libraries have no shared locks and no inheritance by a child."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def acquire(self, *, shared: bool = False) -> bool:
        """Take the lock, or turn a held one into the other kind; False if others are in the way."""
        try:
            fcntl.flock(self.fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Give the lock up and keep the file open."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file. A child that inherited it keeps the lock."""
        os.close(self.fd)

    def write(self, text: str) -> None:
        """Leave a note for those who find the lock taken."""
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, text.encode(), 0)

    def read(self) -> str:
        """The note of the holder."""
        return os.pread(self.fd, 100, 0).decode("ascii", "replace").strip()


async def becomes_true(condition: Callable[[], bool], *, within: float, every: float) -> bool:
    """Poll a condition (flock has no asynchronous form); False after ``within`` seconds of waiting."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(every)
    return True
