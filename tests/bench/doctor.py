"""The doctor's wall time against the slowest of its probes: all of them run at once, so that is all it should take.

In one process and on real services, without the start of the interpreter: a Postgres that answers, and one that is
stopped, so that every probe of it runs into its limit.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tests.bench import Row

from mosaic_gateway.cli.shell import Shell
from mosaic_gateway.compose import Composition
from mosaic_gateway.health.doctor import examine

ROUNDS = 30
HUNG = 2


async def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as directory:
        composition = _gateway(Path(directory))
        # Held open, as a running gateway would: the doctor joins, and neither starts nor stops Postgres.
        async with composition.storage.open(serving=True):
            healthy = [await _round(composition) for _ in range(ROUNDS)]
            with _stopped(Path(directory) / "data" / "postgres"):
                hung = [await _round(composition) for _ in range(HUNG)]
    return [
        _row("doctor ÷ its slowest probe", healthy),
        _row("doctor ÷ its slowest probe, Postgres hangs", hung),
    ]


def _row(what: str, rounds: list[tuple[float, float]]) -> Row:
    wall, slowest = (median(times) * 1000 for times in zip(*rounds, strict=True))
    return Row(what, "ms", wall, slowest)


async def _round(composition: Composition) -> tuple[float, float]:
    """Seconds of the whole, and of the slowest."""
    start = time.perf_counter()
    checked = await examine(composition)
    wall = time.perf_counter() - start
    return wall, max(each.seconds for each in checked)


def _gateway(directory: Path) -> Composition:
    command = [
        sys.executable,
        "-m",
        "mosaic_gateway.cli",
        "gateway",
        "init",
        str(directory),
        "--name",
        "bench",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return Shell(directory / "mosaic.config.json", debug=False).composition


@contextmanager
def _stopped(cluster: Path) -> Iterator[None]:
    """The postmaster accepts connections no more, and its clients wait."""
    pid = int((cluster / "postmaster.pid").read_text().splitlines()[0])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
