"""The standalone tier as its operator meets it, and the proof that it runs without any federation code."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Home

Start = Callable[..., subprocess.Popen[str]]

#: `mosaic`, writing down at its end which modules it had imported.
RECORDING = """
import atexit, json, os, pathlib, sys
place = pathlib.Path(sys.argv.pop(1))
os._exit = sys.exit  # the doctor's way out, which would pass by what is registered here
atexit.register(lambda: place.write_text(json.dumps(sorted(sys.modules))))
from mosaic_gateway.cli import main
main()
"""
FOR_PEERS = (
    *("mosaic_federation", "mosaic_embedded_ca", "mosaic_step_ca", "mosaic_audit"),
    "mosaic_tier_federated",
)


def modules_of_a_run(home: Home, running: Start, place: Path) -> list[str]:
    """Serve, answer some requests, stop; return what was imported meanwhile."""
    process = running(replace(home, command=(sys.executable, "-c", RECORDING, str(place))))
    home.post("/v1/tasks", {"title": "Alone"})
    assert home.get("/v1/tasks/search?q=alone")["items"]
    home.get("/openapi.json")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    modules: list[str] = json.loads(place.read_text())
    assert "mosaic_gateway.serving" in modules
    return modules


def federation_in(modules: list[str]) -> list[str]:
    return [name for name in modules if name.split(".")[0] in FOR_PEERS or "federation" in name]


def test_standalone_imports_no_federation_module(standalone: Home, running: Start, tmp_path: Path) -> None:
    assert federation_in(modules_of_a_run(standalone, running, tmp_path / "modules.json")) == []


@pytest.mark.parametrize(
    "command",
    [
        "user list",
        "gateway doctor",
        "gateway prepare",
        "gateway config show",
        "gateway config check",
        "jobs list",
    ],
)
def test_no_command_of_a_standalone_gateway_imports_a_federation_module(
    standalone: Home, tmp_path: Path, command: str
) -> None:
    place = tmp_path / "modules.json"
    recorded = [sys.executable, "-c", RECORDING, str(place), "--config", str(standalone.config)]
    subprocess.run([*recorded, *command.split()], check=True, capture_output=True, timeout=60)
    modules = json.loads(place.read_text())
    assert "mosaic_tier_standalone.plugin" in modules
    assert federation_in(modules) == []


def test_local_without_federation_imports_no_federation_module(
    home: Home, running: Start, tmp_path: Path
) -> None:
    config = json.loads(home.config.read_text())
    config["plugins"] = {"workspace": {}}
    home.config.write_text(json.dumps(config))
    assert federation_in(modules_of_a_run(home, running, tmp_path / "modules.json")) == []


def test_local_with_federation_is_seen_to_import_it(home: Home, running: Start, tmp_path: Path) -> None:
    """So that the two tests above could fail."""
    assert "mosaic_federation.plugin" in modules_of_a_run(home, running, tmp_path / "modules.json")


def test_rows_live_in_the_operators_postgres(standalone: Home, running: Start) -> None:
    first = running(standalone)
    made = standalone.post("/v1/tasks", {"title": "Survive"})
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0
    assert not (standalone.directory / "data" / "postgres").exists()
    running(standalone)
    assert standalone.get(f"/v1/tasks/{made['id']}") == made


def test_workers_share_one_database(standalone: Home, running: Start) -> None:
    running(standalone, "--workers", "2")
    for number in range(10):
        standalone.post("/v1/tasks", {"title": f"Task {number}"})
    assert len(standalone.get("/v1/tasks")["items"]) == 10


def test_the_config_holds_no_password_and_the_doctor_is_not_red(
    standalone: Home, server_password: str
) -> None:
    assert server_password not in standalone.config.read_text()
    output = standalone.run("gateway", "doctor", code=0)
    assert server_password not in output


def test_the_old_name_of_the_tier_works_and_warns_once(standalone: Home) -> None:
    standalone.config.write_text(standalone.config.read_text().replace('"standalone"', '"team"'))
    output = standalone.run("gateway", "config", "check")
    assert output.count("warning: tier 'team' is the old name of 'standalone', and release 0.3 drops it") == 1
    assert "tier       standalone" in output


class TestInit:
    def test_a_password_on_the_command_line_is_refused(self, home: Home, tmp_path: Path) -> None:
        url = "postgresql://me:hunter2@localhost/work"
        command = ["gateway", "init", str(tmp_path / "x"), "--tier", "standalone", "--storage-url", url]
        output = home.run(*command, code=2)
        assert "--storage-password-file" in output
        assert "hunter2" not in output

    def test_a_database_with_users_is_refused(
        self, home: Home, standalone: Home, tmp_path: Path, password_file: Path
    ) -> None:
        storage = json.loads(standalone.config.read_text())["storage"]
        queue = json.loads(standalone.config.read_text())["queue"]
        output = home.run(
            *("gateway", "init", str(tmp_path / "second"), "--tier", "standalone", "--admin", "other"),
            *("--storage-url", storage["url"], "--storage-password-file", str(password_file)),
            *("--queue-url", queue["url"]),
            code=4,
        )
        assert "belongs to a gateway already" in output
        assert not (tmp_path / "second" / "mosaic.config.json").exists()

    def test_a_server_that_is_not_there_is_named(self, home: Home, tmp_path: Path) -> None:
        url = "postgresql://me@127.0.0.1:1/work"
        command = ["gateway", "init", str(tmp_path / "x"), "--tier", "standalone", "--storage-url", url]
        assert "127.0.0.1:1" in home.run(*command, code=5)

    def test_the_environment_may_name_the_services(
        self, home: Home, standalone: Home, tmp_path: Path
    ) -> None:
        output = home.run(
            *("gateway", "init", str(tmp_path / "x"), "--tier", "standalone"),
            code=5,
            MOSAIC_STORAGE__URL="postgresql://me:hunter2@127.0.0.1:1/work",
        )
        assert "127.0.0.1:1" in output
        assert "hunter2" not in output


@pytest.mark.parametrize("tier", ["standalone", "federated"])
def test_init_without_services_leaves_nothing_but_the_key(home: Home, tmp_path: Path, tier: str) -> None:
    home.run(
        *("gateway", "init", str(tmp_path / "x"), "--tier", tier),
        code=5,
        MOSAIC_STORAGE__URL="postgresql://me@127.0.0.1:1/work",
    )
    assert not (tmp_path / "x" / "mosaic.config.json").exists()
