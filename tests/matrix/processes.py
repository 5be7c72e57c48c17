"""Run programs within a bounded time: what takes longer is killed with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path


class Failed(Exception):
    """Of a row: what went wrong, in the words of the program that says so."""


class Clock:
    """What is left of a row's time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds. Raises :class:`Failed` when they are over."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise Failed(f"did not end within {self._seconds:g} s")
        return left


def run(
    command: Sequence[str | Path], environment: Mapping[str, str], patience: float, cwd: Path | None = None
) -> tuple[int, str]:
    """Exit code, and what it printed on both streams. Raises :class:`Failed` if it takes too long."""
    process = subprocess.Popen(
        list(map(str, command)), env=dict(environment), cwd=cwd, text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        said, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        raise Failed(f"did not end in time: {' '.join(map(str, command[:4]))}") from None
    finally:
        kill_group(process)
    return process.returncode, said


def kill_group(process: subprocess.Popen[str]) -> None:
    """End it with all that it started and that is of its group, unless it has ended already."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
