"""The compose files as data, and their own commands run on this machine with its servers in place of images."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from folders import remove
from free_ports import free_port
from mosaic_tier_local.account import Account, own_account, postgres_account
from mosaic_tier_local.binaries import binaries_for

COMPOSE = Path(__file__).parents[2] / "compose"
PASSWORDS = {
    "postgres_superuser": "5" * 64,
    "postgres_mosaic": "0123456789abcdef" * 4,
    "valkey": "fedcba9876543210" * 4,
}
PATIENCE = 60.0  # seconds


@dataclass
class Container:
    """A folder that stands for a container: a compose file's commands run below it, as an ordinary user."""

    service: dict[str, Any]  # as written in the compose file
    home: Path
    account: Account
    environment: dict[str, str]
    paths: dict[str, Any]  # in the container → here; addresses, too
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def give(self, path: Path, text: str, mode: int = 0o600) -> None:
        """Put a file there that is the container user's."""
        path.write_text(text)
        path.chmod(mode)
        shutil.chown(path, self.account.uid, self.account.gid)

    @property
    def folder(self) -> Path:
        """Where its programs start."""
        return Path(self.here(self.service["working_dir"])) if "working_dir" in self.service else self.home

    def here(self, text: str) -> str:
        """A word of a compose file as the container gets it, its paths below this folder."""
        for there, here in self.paths.items():
            text = text.replace(there, str(here))
        return text.replace("$$", "$")

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            self.account.command(*map(self.here, command)),
            cwd=self.folder, env=self.environment | environment, text=True, capture_output=True, check=False,
        )  # fmt: skip

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """Run the service's command until the test ends. Its output is in ``log``."""
        command = (*self.service.get("entrypoint", ()), *self.service["command"], *options)
        with (self.home / "log").open("ab") as log:
            process = subprocess.Popen(
                self.account.command(*map(self.here, command)),
                cwd=self.folder, env=self.environment, stdout=log, stderr=log,
            )  # fmt: skip
        self.started.append(process)
        return process

    def healthy(self) -> bool:
        """What the service's healthcheck says."""
        kind, *command = self.service["healthcheck"]["test"]
        shell = {"CMD-SHELL": ("sh", "-c"), "CMD": ()}[kind]
        return self.run(*shell, *command).returncode == 0

    def wait_until_healthy(self) -> None:
        """Wait for the healthcheck, as long as the process lives."""
        deadline = time.monotonic() + PATIENCE
        while not self.healthy():
            assert self.started[-1].poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def log(self) -> str:
        """What the started programs wrote."""
        return (self.home / "log").read_text(errors="replace")


@pytest.fixture(scope="session")
def service() -> Callable[[str, str], dict[str, Any]]:
    """One service of a compose file, with what it extends below it."""

    def read(file: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load((COMPOSE / file).read_text())["services"][name]
        base = found.pop("extends", None)
        return read(base["file"], base["service"]) | found if base else found

    return read


@pytest.fixture(scope="module")
def container(service: Callable[[str, str], dict[str, Any]]) -> Iterator[Callable[..., Container]]:
    """Make the container of a service from paths of its own, and from what its programs are here."""
    made: list[Container] = []

    def make(
        file: str, name: str, account: Account, paths: Sequence[str], programs: dict[str, str], **env: str
    ) -> Container:
        home = Path(tempfile.mkdtemp(prefix="mosaic-c-", dir="/tmp"))  # a socket's path has 107 bytes
        here = {path: home / path.strip("/").replace("/", "-") for path in paths}
        for folder in (home, home / "bin", *here.values()):
            folder.mkdir(mode=0o700, exist_ok=True)
            shutil.chown(folder, account.uid, account.gid)
        env |= {"PATH": f"{home / 'bin'}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
        made.append(Container(service(file, name), home, account, env, here))
        for program, command in programs.items():
            made[-1].give(home / "bin" / program, f"#!/bin/sh\nexec {command.format(home=home)}\n", 0o700)
        for each in made[-1].service.get("secrets", ()):
            secret = each if isinstance(each, str) else each["source"]
            made[-1].give(here["/run/secrets"] / secret, f"{PASSWORDS[secret]}\n")
        return made[-1]

    yield make
    for each in made:
        for process in each.started:
            if process.poll() is None:
                process.kill()
                process.wait(60)
        remove(each.home)


@pytest.fixture(scope="session")
def postgres_programs() -> Callable[[str], Path]:
    """The folder of a Postgres: ``pgvector`` is the local tier's, ``plain`` the system's."""

    def find(kind: str) -> Path:
        if kind == "pgvector":
            return asyncio.run(binaries_for(postgres_account(None, Path("/nonexistent"))))
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not found:
            pytest.skip("needs a Postgres in /usr/lib/postgresql: apt-get install postgresql")
        return found[-1].parent

    return find


@pytest.fixture(scope="session")
def passwords() -> dict[str, str]:
    """What the files of secrets hold, by name."""
    return PASSWORDS


@pytest.fixture(scope="module")
def valkey_service(container: Callable[..., Container]) -> Callable[..., Container]:
    """The service of a file, run by Valkey or by the Redis it comes from: it uses nothing that only one has."""

    def make(file: str, service: str = "valkey") -> Container:
        name = next((each for each in ("valkey", "redis") if shutil.which(f"{each}-server")), None)
        if name is None:
            pytest.skip("needs valkey-server or redis-server: apt-get install redis-server")
        port = free_port()
        programs = {
            "valkey-server": f'{shutil.which(f"{name}-server")} --port {port} "$@"',
            "valkey-cli": f'{shutil.which(f"{name}-cli")} -p {port} "$@"',
        }
        account = postgres_account(None, Path("/nonexistent"))
        return container(file, service, account, ["/run/secrets", "/data"], programs, PORT=str(port))

    return make


@pytest.fixture(scope="module")
def postgres_service(
    container: Callable[..., Container], postgres_programs: Callable[[str], Path]
) -> Callable[..., Container]:
    """The service of a file, started on an empty data directory by one kind of Postgres."""

    def start(kind: str, file: str, service: str = "postgres") -> Container:
        programs = postgres_programs(kind)
        port = free_port()
        paths = ["/run/secrets", "/var/run/postgresql", "/var/lib/postgresql/data"]
        shims = {name: f'{programs}/{name} "$@"' for name in ("initdb", "psql")}
        shims["postgres"] = f'{programs}/postgres "$@" -F -k {{home}}/var-run-postgresql -p {port}'
        account = postgres_account(None, Path("/nonexistent"))
        box = container(file, service, account, paths, shims, PGPORT=str(port), POSTGRES_USER="postgres")
        box.environment["PGDATA"] = box.here(box.service["environment"]["PGDATA"])
        _initialise(box)
        box.start()
        return box

    return start


# What the image's `step ca health --ca-url URL --root FILE` asks; that program is not here.
_STEP = 'sh -c \'curl -fsS --cacert "$6" "$4/health" | grep -q ok\' step "$@"'


@pytest.fixture(scope="module")
def authority_service(
    container: Callable[..., Container], step_ca_program: Path
) -> Callable[[str], Container]:
    """The service step-ca of a file, run by the step-ca that `.ci/step-ca` built."""

    def make(file: str) -> Container:
        port = free_port()
        programs = {"step-ca": f'{step_ca_program} "$@"', "step": _STEP.replace("{", "{{")}
        box = container(file, "step-ca", own_account(), ["/home/step"], programs, PORT=str(port))
        box.paths |= {"localhost:9000": f"localhost:{port}", "step-ca:9000": f"localhost:{port}"}
        box.environment["STEPPATH"] = box.here(box.service["environment"]["STEPPATH"])
        return box

    return make


def _initialise(box: Container) -> None:
    """What the image's entrypoint does with an empty data directory: initdb, then role.sh without TCP."""
    environment = box.service["environment"]
    secret = f"--pwfile={environment['POSTGRES_PASSWORD_FILE']}"
    made = box.run("initdb", "--no-sync", "--username=postgres", secret, environment["POSTGRES_INITDB_ARGS"])
    assert made.returncode == 0, made.stderr
    server = box.start("-c", "listen_addresses=")
    socket_folder = str(box.paths["/var/run/postgresql"])
    local = {"PGHOST": socket_folder, "PGUSER": "postgres", "PGPASSWORD": PASSWORDS["postgres_superuser"]}
    while box.run("psql", "-d", "postgres", "-c", "", **local).returncode:
        assert server.poll() is None, box.log()
    assert not box.healthy(), "the healthcheck takes the set-up server for the real one"
    box.give(box.home / "role.sh", box.here((COMPOSE / "postgres" / "role.sh").read_text()))
    done = box.run("bash", "-c", f"set -Eeo pipefail; . {box.home}/role.sh", **local)
    assert done.returncode == 0, done.stderr
    server.send_signal(signal.SIGINT)
    assert server.wait(60) == 0
