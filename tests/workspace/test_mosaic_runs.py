"""The `mosaic` of our tests is the program: the same output, exit code and end, whoever asks for it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from free_ports import free_port
from made_plugins import make_plugin
from mosaic_runs import PROGRAM, mosaic, run_mosaic
from prepared import prepare


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Of a gateway in this folder, by which `mosaic` finds its config."""
    port = free_port()
    prepare(tmp_path / "here", port=port, peer_port=free_port())
    monkeypatch.chdir(tmp_path / "here")
    return port


@pytest.fixture
def started(port: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([mosaic(), "gateway", "start"]) as process:
        while not serves(port):
            assert process.poll() is None
            time.sleep(0.05)
        yield process
        process.kill()


def serves(port: int) -> bool:
    try:
        return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=60).status == 200)
    except OSError:
        return False


@pytest.mark.parametrize(
    "command",
    [
        ["--version"],
        ["nonsense"],
        ["user", "list"],
        ["user", "add", "no such name!"],
        ["gateway", "config", "show"],
        ["federation", "peer", "add", "-", "--yes"],
    ],
)
def test_they_print_and_end_as_the_program_does(port: int, command: list[str]) -> None:
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "77", "MOSAIC_NAME": "from-the-environment"}
    given = "http://127.0.0.1:1/an-url-from-standard-input\n"

    def run(program: Path) -> tuple[int, str, str]:
        done = subprocess.run(
            [program, *command], env=environment, input=given, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    done = run_mosaic(*command, env=environment, stdin=given)
    assert run(mosaic()) == run(PROGRAM) == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_command(
    started: subprocess.Popen[bytes], port: int, number: signal.Signals
) -> None:
    started.send_signal(number)
    assert started.wait(60) == 0
    assert not serves(port)


def test_sigusr1_kills_the_command(started: subprocess.Popen[bytes], port: int) -> None:
    started.send_signal(signal.SIGUSR1)
    assert started.wait(60) == -signal.SIGKILL
    assert not serves(port)


def test_the_command_ends_with_whoever_asked(started: subprocess.Popen[bytes], port: int) -> None:
    started.kill()
    while serves(port):
        time.sleep(0.05)


def test_what_takes_too_long_is_ended(started: subprocess.Popen[bytes]) -> None:
    with pytest.raises(TimeoutError):
        run_mosaic("audit", "tail", "--follow", seconds=3)


def test_modules_of_another_path_are_found(tmp_path: Path) -> None:
    make_plugin(tmp_path, "odd", command="oddity")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    by_shell = subprocess.run(
        [mosaic(), "--help"], env=environment, capture_output=True, text=True, check=True
    )
    assert "oddity" in by_shell.stdout
    for _ in range(2):  # the second is a fork of a process that has this path
        assert "oddity" in run_mosaic("--help", env=environment).stdout
    assert "oddity" not in run_mosaic("--help").stdout
