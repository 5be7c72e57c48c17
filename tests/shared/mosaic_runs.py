"""Run ``mosaic`` as its users do, without the second that each Python takes to import it.

What is run is the real command, with its own environment, folder, output and exit code; it only begins as a fork of
a process that has imported its modules. Whoever tests that start itself starts the program.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path


def run_mosaic(
    *arguments: str | Path, env: Mapping[str, str] | None = None, stdin: str = "", seconds: int = 90
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. What takes longer than ``seconds`` is ended by SIGALRM: code -14."""
    command = [str(argument) for argument in arguments]
    environment = dict(os.environ if env is None else env)
    if environment.get("PYTHONPATH") != os.environ.get("PYTHONPATH"):  # other modules than were imported
        whole = [sys.executable, "-m", "mosaic_gateway.cli", *command]
        return subprocess.run(
            whole, env=environment, input=stdin, capture_output=True, text=True, check=False, timeout=seconds
        )
    with tempfile.TemporaryDirectory(prefix="mosaic-run-") as folder, socket.socket(socket.AF_UNIX) as server:
        files = [Path(folder, name) for name in ("in", "out", "err")]
        for file, text in zip(files, (stdin, "", ""), strict=True):
            file.write_text(text)
        asked = {
            "arguments": command,
            "environment": environment,
            "folder": str(Path.cwd()),
            "files": [str(file) for file in files],
            "seconds": seconds,
        }
        server.connect(_server())
        server.sendall(json.dumps(asked).encode() + b"\n")
        code = int(server.makefile().readline())
        return subprocess.CompletedProcess(command, code, files[1].read_text(), files[2].read_text())


@cache
def _server() -> str:
    """One for each process of tests; it ends with that."""
    folder = tempfile.mkdtemp(prefix="mosaic-runs-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    place = f"{folder}/socket"
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("mosaic_server.py"), place],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    _processes.append(process)
    return place


_processes: list[subprocess.Popen[str]] = []  # kept: its standard input is what it lives by
