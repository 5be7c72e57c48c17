"""Gateways as an operator runs them: the `mosaic` command, real processes, free ports."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

MOSAIC = [sys.executable, "-m", "mosaic_gateway.cli"]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class Home:
    """An initialised gateway, and the commands an operator would give."""

    directory: Path
    port: int
    token: str

    @property
    def config(self) -> Path:
        return self.directory / "mosaic.config.json"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, *args: str, code: int = 0, **environment: str) -> str:
        """Run a command, check its exit code, and return what it printed on both streams."""
        done = subprocess.run(
            [*MOSAIC, "--config", str(self.config), *args],
            capture_output=True, check=False, text=True, timeout=60, env=os.environ | environment,
        )  # fmt: skip
        assert done.returncode == code, f"exit {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def json(self, *args: str) -> Any:
        return json.loads(self.run(*args, "--json"))

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Start serving; return once the gateway says it is ready."""
        process = subprocess.Popen(
            [*MOSAIC, "--debug", "--config", str(self.config), "gateway", "start", *args],
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 30
        while not self.is_ready():
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < deadline, "the gateway did not become ready within 30 s"
            time.sleep(0.05)
        return process

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def get(self, path: str) -> Any:
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    port, federation = free_port(), free_port()
    command = [
        "gateway",
        "init",
        str(tmp_path / "home"),
        "--port",
        str(port),
        "--federation-port",
        str(federation),
    ]
    done = subprocess.run(
        [*MOSAIC, *command, "--json"], capture_output=True, check=False, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return Home(tmp_path / "home", port, json.loads(done.stdout)["token"])


@pytest.fixture
def running() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start gateways that are stopped at the end, whatever the test did to them."""
    processes: list[subprocess.Popen[str]] = []

    def start(home: Home, *args: str) -> subprocess.Popen[str]:
        processes.append(home.start(*args))
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
