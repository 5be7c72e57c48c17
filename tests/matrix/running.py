"""Install a row, try it, take it away again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Literal

from tests.matrix import environments
from tests.matrix.processes import Failed
from tests.matrix.rows import Row
from tests.matrix.services import Services, services
from tests.matrix.trial import Trial
from tests.matrix.wheels import Wheel

AT_ONCE = 2
_LINES = 15  # of what a failure says: a traceback's end
Word = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Result:
    """What became of a row."""

    row: Row
    word: Word
    why: str
    seconds: float


def run_rows(
    chosen: Sequence[Row], wheels: Mapping[str, Wheel], ended: Callable[[Result], None]
) -> list[Result]:
    """All of them, two at once; in the order they were named. ``ended`` hears of each as it ends."""
    with (
        TemporaryDirectory(prefix="mosaic-rows-", dir="/tmp") as home,
        services() as shared,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        Path(home).chmod(0o711)  # Postgres may run as another user
        slots: SimpleQueue[Path] = SimpleQueue()
        for number in range(AT_ONCE):
            slots.put(Path(home) / f"slot-{number}")

        def in_a_slot(row: Row) -> Result:
            slot = slots.get()
            try:
                return _run_row(row, slot, Path(home) / "bytecode", wheels, shared)
            finally:
                slots.put(slot)

        tried = [pool.submit(in_a_slot, row) for row in chosen]
        try:
            for future in as_completed(tried):
                ended(future.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        return [future.result() for future in tried]


def _run_row(row: Row, slot: Path, bytecode: Path, wheels: Mapping[str, Wheel], services: Services) -> Result:
    """``slot`` is the same path for many rows, so that what Python compiled for one serves the next."""
    start = time.monotonic()

    def result(word: Word, why: str = "") -> Result:
        last = "\n".join(why.strip().splitlines()[-_LINES:])
        return Result(row, word, last, time.monotonic() - start)

    python = environments.interpreter(row.python)
    if python is None:
        return result("skipped", f"there is no Python {row.python} here")
    if missing := services.missing(row):
        return result("skipped", missing)
    slot.mkdir(mode=0o711)
    try:
        environment = environments.make(slot / "env", row, wheels, python)
        # Of other resolutions two files may be equal in size and time of writing, and differ.
        kept = bytecode if row.resolution == "locked" else slot / "bytecode"
        Trial(row, slot, environment, wheels, services, kept).run()
    except Failed as failure:
        return result("failed", str(failure))
    finally:
        shutil.rmtree(slot)
    return result("passed")
