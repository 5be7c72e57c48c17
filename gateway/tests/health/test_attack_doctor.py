"""The doctor among hostile files: it ends, and mends nothing but the gateway's own."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mosaic_gateway.boot import prepare_data_dir
from mosaic_gateway.health.files import file_probes
from mosaic_gateway.health.schema import schema_probe
from mosaic_hookspecs.types import DatabaseLocation, Finding
from mosaic_migrations import CORE

if TYPE_CHECKING:
    from conftest import TcpPostgres


@pytest.fixture
def home(tmp_path: Path) -> Path:
    config = {
        "tier": "standalone",
        "name": "home",
        "data_dir": "data",
        "storage": {"url": "postgresql://mosaic@127.0.0.1:1/mosaic"},
        "queue": {"url": "redis://127.0.0.1:1/0"},
    }
    (tmp_path / "mosaic.config.json").write_text(json.dumps(config))
    prepare_data_dir(tmp_path / "data")
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def look(data_dir: Path) -> dict[str, Finding]:
    return {probe.name: await probe.check() for probe in file_probes(data_dir)}


def test_a_key_file_that_nobody_writes_does_not_hold_it_up(home: Path) -> None:
    key_file = home / "data" / "keys.json"
    key_file.unlink()
    os.mkfifo(key_file, 0o600)
    command = [sys.executable, "-m", "mosaic_gateway.cli", "gateway", "doctor", "--json"]
    ended = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2, ended.stderr
    findings = {each["probe"]: each for each in json.loads(ended.stdout)["findings"]}
    assert findings["key file"]["status"] == "red"
    assert "not a file" in findings["key file"]["detail"]


def test_a_resolver_that_is_silent_costs_no_more_than_a_probe_may(home: Path, tmp_path: Path) -> None:
    path = home / "mosaic.config.json"
    path.write_text(path.read_text().replace("127.0.0.1", "db.example.org"))
    silent = "import socket, time\nsocket.getaddrinfo = lambda *_args, **_more: time.sleep(600)\n"
    (tmp_path / "sitecustomize.py").write_text(silent)
    command = [sys.executable, "-m", "mosaic_gateway.cli", "gateway", "doctor", "--json"]
    ended = subprocess.run(
        command,
        cwd=home,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    findings = {each["probe"]: each for each in json.loads(ended.stdout)["findings"]}
    assert "DNS" in findings["database"]["remedy"]
    assert "DNS" in findings["valkey"]["remedy"]


async def test_a_schema_in_which_everybody_may_lay_out_functions(server_postgres: TcpPostgres) -> None:
    name = await server_postgres.new_database()
    location = server_postgres.location(name)

    @asynccontextmanager
    async def reopen() -> AsyncIterator[DatabaseLocation]:
        yield location

    probe = schema_probe(location, reopen, [CORE], vector=False)
    fix = (await probe.check()).fix
    assert fix
    await fix()
    assert (await probe.check()).status == "green"
    await server_postgres.execute("GRANT CREATE ON SCHEMA public TO PUBLIC", database=name)
    finding = await probe.check()
    assert (finding.status, "REVOKE CREATE" in finding.remedy) == ("yellow", True)


async def test_the_mode_of_what_a_link_points_to_is_left_alone(home: Path) -> None:
    theirs = home / "public.json"
    key_file = home / "data" / "keys.json"
    key_file.rename(theirs)
    theirs.chmod(0o644)
    key_file.symlink_to(theirs)
    finding = (await look(home / "data"))["key file"]
    assert finding.status == "red"
    assert finding.fix is None
    assert mode(theirs) == 0o644


@pytest.mark.parametrize("name", ["key file", "data directory"])
async def test_what_became_a_link_after_the_look_is_not_followed(home: Path, name: str) -> None:
    own = home / "data" if name == "data directory" else home / "data" / "keys.json"
    own.chmod(0o755)
    finding = (await look(home / "data"))[name]
    assert finding.fix
    theirs = home / "theirs"
    own.rename(theirs)
    own.symlink_to(theirs)
    with pytest.raises(OSError, match=r"Too many levels|Not a directory"):
        await finding.fix()
    assert mode(theirs) == 0o755


@pytest.mark.parametrize("name", ["key file", "data directory"])
async def test_what_is_our_own_is_closed(home: Path, name: str) -> None:
    own = home / "data" if name == "data directory" else home / "data" / "keys.json"
    own.chmod(0o755)
    finding = (await look(home / "data"))[name]
    assert finding.fix
    await finding.fix()
    assert mode(own) == (0o700 if name == "data directory" else 0o600)
    assert (await look(home / "data"))[name].status == "green"
