"""Run ``mosaic``: what it printed, and the code it exited with."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor


def in_this_process(*arguments: str) -> tuple[str, int]:
    """Quick: nothing is imported anew. In a thread, for a test may have a loop running in its own."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_invoke, arguments).result()


def in_process_of_its_own(*arguments: str) -> tuple[str, int]:
    """For commands that handle signals, or end the process."""
    command = [sys.executable, "-m", "mosaic_gateway.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout + (done.stderr if done.returncode else ""), done.returncode


def _invoke(arguments: tuple[str, ...]) -> tuple[str, int]:
    from click.testing import CliRunner

    from mosaic_gateway.cli.main import mosaic
    from mosaic_hookspecs.errors import MosaicError

    done = CliRunner().invoke(mosaic, arguments, prog_name="mosaic")
    if isinstance(done.exception, MosaicError):
        return f"{done.output}error: {done.exception}\n", done.exception.exit_code
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return (done.output if done.exit_code else done.stdout), done.exit_code
