"""Run ``mosaic`` as its users do, without the second that each Python takes to import it.

What is run is the real command, with its own environment, folder, streams, signals and exit code; it only begins as
a fork of a process that has imported its modules. Whoever tests that start itself, or the memory that a command takes,
starts the program.
"""

from __future__ import annotations

import atexit
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import mosaic_client

PROGRAM = Path(sys.executable).with_name("mosaic")
_MODULES = os.environ.get("PYTHONPATH", "")
_met = {_MODULES}  # values of PYTHONPATH; each is another process's, which pays from the second command on


def run_mosaic(
    *arguments: str | Path, env: Mapping[str, str] | None = None, stdin: str = "", seconds: int = 90
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. Raises TimeoutError for what takes longer than ``seconds``, and ends it."""
    command = [str(argument) for argument in arguments]
    environment = os.environ if env is None else env
    modules = environment.get("PYTHONPATH", "")
    if modules not in _met:
        _met.add(modules)
        whole = [PROGRAM, *command]
        return subprocess.run(
            whole, env=environment, input=stdin, capture_output=True, text=True, check=False, timeout=seconds
        )
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        files = (given, out, err)
        given.write(stdin.encode())
        given.seek(0)
        with mosaic_client.ask(
            _server(modules), command, environment, [file.fileno() for file in files]
        ) as server:
            server.settimeout(seconds)
            code = mosaic_client.answer(server)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(command, code, out.read().decode(), err.read().decode())


@cache
def mosaic() -> Path:
    """A program ``mosaic`` that does the same, for those who need one: a shell, by a PATH that begins with its folder.

    Whoever would kill it sends SIGUSR1: after SIGKILL the command lives a moment longer than the program.
    """
    client = [sys.executable, "-IS", mosaic_client.__file__, _server(_MODULES)]
    program = _folder() / "bin" / "mosaic"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\n[ "$PYTHONPATH" = {shlex.quote(_MODULES)} ] || exec {PROGRAM} "$@"\n'
        f'exec {shlex.join(client)} "$@"\n'
    )
    program.chmod(0o755)
    return program


@cache
def _folder() -> Path:
    folder = tempfile.mkdtemp(prefix="mosaic-runs-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@cache
def _server(modules: str) -> str:
    """One for each process of tests and PYTHONPATH; it ends with that."""
    place = f"{_folder()}/{len(_processes)}"
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("mosaic_server.py"), place],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": modules},
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    _processes.append(process)
    return place


_processes: list[subprocess.Popen[str]] = []  # kept: its standard input is what it lives by
