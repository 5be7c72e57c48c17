"""Two real gateways, ``home`` and ``work``, as processes on the local tier, driven by the real command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from folders import remove
from free_ports import free_port
from mosaic_gateway.boot import open_gateway
from mosaic_gateway.compose import compose
from mosaic_gateway.config import read_config
from mosaic_gateway.database import Pool
from mosaic_gateway.testing.prepared import new_folder
from mosaic_runs import mosaic, run_mosaic
from prepared import prepare

MOSAIC = Path(sys.executable).with_name("mosaic")
PATIENCE = 60.0  # seconds, for a gateway to start
ALWAYS_ASKED = {"MOSAIC_PLUGINS__FEDERATION__READING__CACHE_SECONDS": "0"}  # tests want what is true now


@dataclass
class Gateway:
    """One gateway, its files and its process."""

    name: str
    directory: Path
    port: int
    peer_port: int
    token: str = field(default="", repr=False)
    process: subprocess.Popen[bytes] | None = None
    inside: tuple[str, ...] = ()  # a command that runs another one where the gateway is
    environment: dict[str, str] = field(default_factory=lambda: dict(ALWAYS_ASKED))

    @property
    def config(self) -> Path:
        return self.directory / "mosaic.config.json"

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def public(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def link(self) -> str:
        return f"https://127.0.0.1:{self.peer_port}"

    @property
    def variables(self) -> dict[str, str]:
        """The environment of its commands."""
        return {**os.environ, "NO_COLOR": "1", **self.environment}

    def mosaic(self, *command: str) -> list[str]:
        """The command line of ``mosaic`` for this gateway."""
        return [*self.inside, str(MOSAIC), "--config", str(self.config), *command]

    def run(self, *command: str, code: int = 0) -> str:
        """Run ``mosaic`` and return what it printed; it must exit with ``code``."""
        if self.inside:
            done = subprocess.run(
                self.mosaic(*command), capture_output=True, text=True, check=False, env=self.variables
            )
        else:
            done = run_mosaic("--config", self.config, *command, env=self.variables)
        assert done.returncode == code, (
            f"{command} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        )
        return done.stdout if code == 0 else done.stdout + done.stderr

    def json(self, *command: str) -> Any:
        return json.loads(self.run(*command, "--json"))

    def http(self, token: str | None = None) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return httpx.Client(base_url=self.public, headers=headers, timeout=60)

    def add(self, resource: str, **fields: Any) -> str:
        """Create a row of the admin's and return its id."""
        with self.http() as client:
            response = client.post(f"/v1/{resource}", json=fields)
            assert response.status_code == 201, response.text
            return str(response.json()["id"])

    def offer(self, *options: str) -> Any:
        """Make a grant for home through the admin's eyes."""
        common = ("grant", "create", "--subject", "admin", "--peer", "home")
        return self.json("federation", *common, *(options or ("--resource", "tasks", "--personal")))

    def start(self) -> None:
        with self.log.open("ab") as log:
            program = self.mosaic() if self.inside else [mosaic(), "--config", self.config]
            command = [*program, "gateway", "start"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self.variables)
        deadline = time.monotonic() + PATIENCE
        while not self.is_ready():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def kill(self) -> None:
        """By SIGKILL."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL if self.inside else signal.SIGUSR1)

    def is_ready(self) -> bool:
        """Whether it serves: its listener for peers is bound before."""
        ask = [*self.inside, "curl", "-fsS", "--max-time", "5", f"{self.public}/readyz"]
        return subprocess.run(ask, capture_output=True, check=False).returncode == 0

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Pool]:
        """Its database, as its owner sees it."""
        async with open_gateway(compose(read_config(self.config)), serving=False) as gateway:
            yield gateway.database


def make(
    parent: Path, name: str, *, authority: str = "embedded_ca", inside: tuple[str, ...] = (), **settings: Any
) -> Gateway:
    port, peer_port = free_port(), free_port()
    made = Gateway(name, parent / name, port, peer_port, inside=inside)
    made.token = prepare(made.directory, name=name, authority=authority, port=port, peer_port=peer_port)
    made.config.write_text(json.dumps(json.loads(made.config.read_text()) | settings))
    return made


@pytest.fixture(scope="session")
def new_gateway() -> Iterator[Callable[..., Gateway]]:
    """Make gateways that are stopped and removed at the end."""
    parent = new_folder()
    made: list[Gateway] = []

    def new(name: str, **options: Any) -> Gateway:
        place = Path(tempfile.mkdtemp(dir=parent))  # two files of tests may give a gateway the same name
        place.chmod(0o711)
        made.append(make(place, name, **options))
        return made[-1]

    yield new
    for each in made:
        each.stop()
    remove(parent)


@pytest.fixture(scope="session")
def gateways(new_gateway: Callable[..., Gateway]) -> tuple[Gateway, Gateway]:
    """``home`` and ``work``, running."""
    home, work = new_gateway("home"), new_gateway("work", workers=2)
    home.start()
    work.start()
    return home, work


@pytest.fixture
def home(gateways: tuple[Gateway, Gateway]) -> Gateway:
    """The gateway that is shared with (A)."""
    return gateways[0]


@pytest.fixture
def work(gateways: tuple[Gateway, Gateway]) -> Gateway:
    """The gateway that shares (B)."""
    return gateways[1]
