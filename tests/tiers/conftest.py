"""Gateways as an operator runs them: the `mosaic` command, real processes, free ports."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from free_ports import free_port
from mosaic_runs import run_mosaic
from prepared import prepare

if TYPE_CHECKING:
    from conftest import RedisServer, TcpPostgres

MOSAIC = [sys.executable, "-m", "mosaic_gateway.cli"]


@dataclass
class Home:
    """An initialised gateway, and the commands an operator would give."""

    directory: Path
    port: int
    token: str
    environment: Mapping[str, str] = field(default_factory=dict)  # of every command
    command: Sequence[str] = tuple(MOSAIC)

    @property
    def config(self) -> Path:
        return self.directory / "mosaic.config.json"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, *args: str, code: int = 0, **environment: str) -> str:
        """Run a command, check its exit code, and return what it printed on both streams."""
        done = run_mosaic(
            "--config", self.config, *args, env={**os.environ, **self.environment, **environment}
        )
        assert done.returncode == code, f"exit {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def json(self, *args: str) -> Any:
        return json.loads(self.run(*args, "--json"))

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Start serving; return once the gateway says it is ready."""
        process = subprocess.Popen(
            [*self.command, "--debug", "--config", str(self.config), "gateway", "start", *args],
            stderr=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ, **self.environment},
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not self.is_ready():
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < deadline, "the gateway did not become ready within a minute"
            time.sleep(0.05)
        return process

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=60) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def get(self, path: str) -> Any:
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


def initialise(directory: Path, *options: str, **environment: str) -> Home:
    """`mosaic gateway init`, with free ports."""
    port, federation = free_port(), free_port()
    command = ["gateway", "init", str(directory), "--port", str(port), "--federation-port", str(federation)]
    done = run_mosaic(*command, *options, "--json", env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    return Home(directory, port, json.loads(done.stdout)["token"], environment)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    port = free_port()
    token = prepare(tmp_path / "home", port=port, peer_port=free_port())
    return Home(tmp_path / "home", port, token)


@pytest.fixture
def password_file(tmp_path: Path, server_password: str) -> Path:
    file = tmp_path / "database-password"
    file.write_text(f"{server_password}\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def standalone(
    tmp_path: Path, server_postgres: TcpPostgres, redis_server: RedisServer, password_file: Path
) -> Home:
    """A gateway on the system's own Postgres, which has no pgvector, over verified TLS."""
    database = asyncio.run(server_postgres.new_database())
    url = server_postgres.url(
        database, password="", sslmode="verify-full", sslrootcert=str(server_postgres.certificate)
    )
    return initialise(
        tmp_path / f"standalone-{database.replace('_', '-')}",
        *("--tier", "standalone", "--storage-url", url, "--storage-password-file", str(password_file)),
        *("--queue-url", redis_server.url),
    )


@pytest.fixture
def new_federated(
    tmp_path: Path, vector_postgres: TcpPostgres, redis_server: RedisServer
) -> Callable[..., Home]:
    """Make gateways of the federated tier. Their role may create extensions and is known by its socket."""

    def make(*options: str, **environment: str) -> Home:
        server = vector_postgres
        database = asyncio.run(server.new_database())
        url = f"postgresql://postgres@:{server.port}/{database}?host={server.home}"
        return initialise(
            tmp_path / f"federated-{database.replace('_', '-')}",
            *("--tier", "federated", "--storage-url", url, "--queue-url", redis_server.url, *options),
            **environment,
        )

    return make


@pytest.fixture
def federated_bare(new_federated: Callable[..., Home]) -> Home:
    """One as `init` leaves it: with step_ca named, and no authority set up."""
    return new_federated()


@dataclass(frozen=True)
class Authority:
    """What `mosaic federation ca init` made for a gateway, and how to start it."""

    directory: Path
    made: Mapping[str, Any]  # what the command printed
    command: Sequence[str | Path]

    def start(self) -> subprocess.Popen[bytes]:
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen(self.command, cwd=self.directory, stdout=log, stderr=log)
        port = int(self.made["url"].rpartition(":")[2])
        deadline = time.monotonic() + 60
        while not listens(port):
            assert process.poll() is None, (self.directory / "log").read_text()
            assert time.monotonic() < deadline, "step-ca did not start within a minute"
            time.sleep(0.02)
        return process


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def set_up_authority(step_ca_program: Path) -> Callable[[Home], Authority]:
    """Do what `mosaic federation ca init` says is next, save starting the authority."""

    def set_up(home: Home) -> Authority:
        directory, port = home.directory / "ca", free_port()
        made = home.json(
            *("federation", "ca", "init", str(directory), "--url", f"https://localhost:{port}"),
            *("--address", f"127.0.0.1:{port}"),
        )
        config = json.loads(home.config.read_text())
        config["plugins"]["step_ca"] = {"url": made["url"], "fingerprint": made["fingerprint"]}
        home.config.write_text(json.dumps(config, indent=2))
        command = [step_ca_program, *made["start"].partition(" && ")[2].split()[1:]]
        return Authority(directory, made, command)

    return set_up


@pytest.fixture
def federated(federated_bare: Home, set_up_authority: Callable[[Home], Authority]) -> Iterator[Home]:
    """The same with its authority set up and running."""
    process = set_up_authority(federated_bare).start()
    yield federated_bare
    process.kill()
    process.wait(60)


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
            process.wait(60)
