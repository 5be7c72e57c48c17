"""The local tier as its operator meets it: start, stop, accidents, and errors that say what to do."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from free_ports import free_port
from mosaic_gateway.cli.main import mosaic

if TYPE_CHECKING:
    from conftest import Home

Start = Callable[..., subprocess.Popen[str]]


def run_mosaic(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mosaic_gateway.cli", *args]
    return subprocess.run(command, capture_output=True, check=False, text=True, timeout=60, **options)


def edit(home: Home, change: Callable[[dict[str, Any]], None]) -> None:
    config = json.loads(home.config.read_text())
    change(config)
    home.config.write_text(json.dumps(config))


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_task_made_over_http_is_there_after_a_restart(home: Home, running: Start) -> None:
    first = running(home)
    made = home.post("/v1/tasks", {"title": "Survive"})
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0
    running(home)
    assert home.get(f"/v1/tasks/{made['id']}") == made


def test_commands_work_while_the_gateway_is_up_and_while_it_is_down(home: Home, running: Start) -> None:
    home.run("user", "add", "grace")
    process = running(home)
    home.run("user", "add", "edsger")
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    assert [user["username"] for user in home.json("user", "list")] == ["admin", "edsger", "grace"]


def test_a_killed_gateway_leaves_no_postgres_and_starts_again_with_its_data(
    home: Home, running: Start
) -> None:
    first = running(home)
    made = home.post("/v1/tasks", {"title": "Survive kill -9"})
    postgres = children(first.pid)
    first.kill()
    first.wait()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in postgres):
        assert time.monotonic() < deadline, "Postgres outlived its gateway"
        time.sleep(0.05)
    running(home)
    assert home.get(f"/v1/tasks/{made['id']}")["title"] == "Survive kill -9"


def test_a_second_gateway_on_the_same_data_is_refused_and_the_first_unharmed(
    home: Home, running: Start
) -> None:
    running(home)
    elsewhere = {
        "MOSAIC_LISTEN__PUBLIC__PORT": "0",
        "MOSAIC_PLUGINS__FEDERATION__LISTEN__PORT": str(free_port()),
    }
    output = home.run("gateway", "start", code=3, **elsewhere)
    assert "another gateway" in output
    assert home.post("/v1/tasks", {"title": "Still here"})["version"] == 1


def test_workers_share_the_port_and_all_end_with_the_gateway(home: Home, running: Start) -> None:
    process = running(home, "--workers", "2")
    for number in range(20):
        home.post("/v1/tasks", {"title": f"Task {number}"})
    assert len(home.get("/v1/tasks")["items"]) == 20
    family = children(process.pid)
    assert len(family) == 3  # Postgres and two workers
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in family)


def test_a_killed_worker_is_replaced(home: Home, running: Start) -> None:
    process = running(home, "--workers", "2")
    before = set(children(process.pid))
    workers = [p for p in before if b"\0worker\0" in Path(f"/proc/{p}/cmdline").read_bytes()]
    os.kill(workers[0], signal.SIGKILL)
    deadline = time.monotonic() + 60
    while len(set(children(process.pid)) - {workers[0]}) < 3:
        assert time.monotonic() < deadline, "the worker was not replaced"
        time.sleep(0.05)
    assert home.get("/v1/tasks")["items"] == []


def test_the_data_directory_is_closed_to_others_and_nothing_listens_on_tcp_for_postgres(home: Home) -> None:
    data = home.directory / "data"
    assert stat.S_IMODE((data / "postgres").stat().st_mode) == 0o700
    assert stat.S_IMODE((data / "keys.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


class TestInit:
    def test_twice_is_refused_and_changes_nothing(self, home: Home) -> None:
        before = home.config.read_bytes()
        output = home.run("gateway", "init", str(home.directory), code=4)
        assert "exists already" in output
        assert home.config.read_bytes() == before

    def test_a_directory_with_other_things_is_left_alone(self, home: Home, tmp_path: Path) -> None:
        other = tmp_path / "photos"
        other.mkdir()
        (other / "cat.jpg").write_bytes(b"meow")
        output = home.run("gateway", "init", str(tmp_path / "b"), "--data-dir", str(other), code=3)
        assert "not empty and not a gateway's" in output
        assert [p.name for p in other.iterdir()] == ["cat.jpg"]
        assert not (tmp_path / "b" / "mosaic.config.json").exists()  # the same command can be given again

    def test_the_token_is_shown_once_and_nowhere_stored(self, home: Home) -> None:
        secret = home.token.rsplit("_", 1)[0].encode()
        full = home.token.encode()
        assert secret  # the prefix may be stored, the whole token may not
        found = [p for p in home.directory.rglob("*") if p.is_file() and full in p.read_bytes()]
        assert found == []


class TestRefusals:
    def test_port_in_use_names_the_port_and_the_setting(self, home: Home) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", home.port))
            taken.listen()
            output = home.run("gateway", "start", code=3)
        assert f"127.0.0.1:{home.port}" in output
        assert "listen.public.port" in output

    def test_unknown_keys_and_missing_plugins_come_together(self, home: Home) -> None:
        def spoil(config: dict[str, Any]) -> None:
            config["lisen"] = config.pop("listen")
            config["plugins"]["pager"] = {}

        edit(home, spoil)
        output = home.run("gateway", "start", code=3)
        assert "lisen: unknown key; did you mean 'listen'?" in output
        assert "plugin 'pager' is not installed" in output

    def test_a_key_file_open_to_others_or_absent(self, home: Home) -> None:
        keys = home.directory / "data" / "keys.json"
        keys.chmod(0o644)
        assert "chmod 600" in home.run("gateway", "start", code=3)
        keys.rename(keys.with_suffix(".away"))
        assert "does not exist" in home.run("gateway", "start", code=3)

    def test_no_config(self, home: Home) -> None:
        home.config.unlink()
        assert "cannot be read" in home.run("gateway", "start", code=3)

    def test_a_plugin_command_of_a_plugin_that_is_not_configured(self, home: Home) -> None:
        edit(home, lambda config: config["plugins"].pop("federation"))
        output = home.run("federation", "grant", "list", code=3)
        assert "plugins.federation" in output

    def test_an_unauthenticated_request_is_a_problem(self, home: Home, running: Start) -> None:
        running(home)
        home.token = "mos_00000000_" + "A" * 43
        with pytest.raises(urllib.error.HTTPError) as refused:
            home.get("/v1/tasks")
        assert refused.value.code == 401
        assert refused.value.headers["Content-Type"] == "application/problem+json"


class TestDoctor:
    def test_green_while_down_and_while_up(self, home: Home, running: Start) -> None:
        assert "overall: green" in home.run("gateway", "doctor")
        running(home)
        report = home.json("gateway", "doctor")
        assert report["status"] == "green"
        assert {"configuration", "database"} <= {finding["probe"] for finding in report["findings"]}

    def test_a_gateway_that_cannot_start_is_red_with_exit_code_2(self, home: Home) -> None:
        edit(home, lambda config: config["plugins"].update(workspac={}))
        output = home.run("gateway", "doctor", code=2)
        assert "did you mean 'workspace'?" in output


class TestPlugins:
    def test_list_tells_state_hooks_and_what_each_brings(self, home: Home) -> None:
        edit(home, lambda config: config["plugins"].pop("federation"))
        plugins = {plugin["name"]: plugin for plugin in home.json("plugins", "list")}
        assert plugins["workspace"]["state"] == "loaded"
        assert "mosaic_resources" in plugins["workspace"]["hooks"]
        assert "resource tasks" in plugins["workspace"]["offers"]
        assert "tier local" in plugins["tier_local"]["offers"]
        assert plugins["federation"]["state"] == "installed"
        assert plugins["federation"]["distribution"] == "mosaic-federation"


class TestCommandLine:
    @pytest.mark.parametrize(
        "command",
        [[], ["gateway"], ["user"], ["team"], ["token"], ["data"], ["plugins"], ["federation"], ["audit"]],
    )
    def test_every_group_has_help(self, command: list[str]) -> None:
        result = CliRunner().invoke(mosaic, [*command, "--help"], prog_name="mosaic")
        assert (result.exit_code, "Usage: mosaic" in result.output) == (0, True)

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_completion(self, shell: str) -> None:
        assert "_MOSAIC_COMPLETE" in CliRunner().invoke(mosaic, ["completion", shell]).output

    def test_completion_knows_the_commands(self) -> None:
        asked = {"_MOSAIC_COMPLETE": "bash_complete", "COMP_WORDS": "mosaic gate", "COMP_CWORD": "1"}
        assert "gateway" in run_mosaic(env=os.environ | asked).stdout

    def test_the_schema_of_a_config_is_printed(self) -> None:
        printed = CliRunner().invoke(mosaic, ["gateway", "config", "schema"]).output
        assert "data_dir" in json.loads(printed)["properties"]

    def test_wrong_usage_is_exit_code_2(self) -> None:
        done = run_mosaic("gatway")
        assert (done.returncode, "No such command" in done.stderr) == (2, True)

    def test_people_and_tokens(self, home: Home) -> None:
        home.run("user", "add", "ada", "--display-name", "Design lead")
        home.run("team", "add", "atlas")
        home.run("team", "add-member", "atlas", "ada")
        assert [m["username"] for m in home.json("team", "members", "atlas")] == ["ada"]
        assert [team["slug"] for team in home.json("team", "list")] == ["atlas"]
        home.run("team", "remove-member", "atlas", "ada")
        assert home.json("team", "members", "atlas") == []
        assert home.run("index", "vectors") == ""  # no plugin embeds
        token = home.json("token", "create", "ada", "--name", "laptop")
        listed = home.json("token", "list", "--user", "ada")
        assert [t["prefix"] for t in listed] == [token["prefix"]]
        assert token["token"] not in json.dumps(listed)
        home.run("token", "revoke", token["prefix"])
        home.run("user", "disable", "ada")
        assert "already" in home.run("user", "add", "Ada", code=4)
        assert "no active user" in home.run("token", "create", "ada", "--name", "again", code=4).lower()


def test_init_writes_over_nothing_not_even_through_a_link(tmp_path: Path) -> None:
    link = tmp_path / "mosaic.config.json"
    link.symlink_to(tmp_path / "elsewhere.json")
    done = run_mosaic("gateway", "init", str(tmp_path))
    assert (done.returncode, "exists already" in done.stderr) == (4, True)
    assert [path.name for path in tmp_path.iterdir()] == [link.name]


def test_a_full_disk_behind_standard_output_is_said(home: Home) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mosaic_gateway.cli", "--config", str(home.config), "user", "list", "--json"],
            stdout=full, stderr=subprocess.PIPE, check=False, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
