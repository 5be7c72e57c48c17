"""`mosaic plugins check` runs every suite that is for a plugin, and names what it breaks."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from free_ports import free_port
from mosaic_gateway.cli.main import mosaic
from mosaic_gateway.cli.plugin_check import _settings
from mosaic_hookspecs.errors import ConfigError

if TYPE_CHECKING:
    from conftest import TcpPostgres

Install = Callable[..., None]
Rules = dict[tuple[str, str, str], list[dict[str, str]]]


def run(*arguments: str, code: int = 0) -> str:
    """In this process and thread."""
    done = CliRunner().invoke(mosaic, ["plugins", "check", *arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.stdout


def rules(*arguments: str, code: int = 0) -> Rules:
    found: Rules = {}
    for each in json.loads(run(*arguments, "--json", code=code)):
        found.setdefault((each["hook"], each["object"], each["outcome"]), []).append(each)
    return found


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution with one plugin, as pip would, for one test."""

    def install(name: str, code: str, *, requires: str = "mosaic-hookspecs>=0.1,<1") -> None:
        package, info = tmp_path / f"mosaic_{name}", tmp_path / f"mosaic_{name}-1.0.dist-info"
        package.mkdir()
        info.mkdir()
        (package / "__init__.py").touch()
        (package / "plugin.py").write_text(dedent(code))
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: mosaic-{name}\nVersion: 1.0\nRequires-Dist: {requires}\n"
        )
        (info / "entry_points.txt").write_text(f"[mosaic]\n{name} = mosaic_{name}.plugin\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    return install


def test_a_plugin_of_ours_keeps_every_rule_of_its_resources() -> None:
    found = rules("mosaic-workspace")
    assert set(found) == {
        ("plugin", "", "passed"),
        ("mosaic_resources", "tasks", "passed"),
        ("mosaic_resources", "notes", "passed"),
    }
    shared = "a grant shows what its scope names and no more"
    assert shared in [each["rule"] for each in found["mosaic_resources", "notes", "passed"]]


def test_every_probe_of_a_plugin_is_checked_beside_what_it_needs(tmp_path: Path) -> None:
    file = tmp_path / "check.json"
    federation = {"listen": {"port": free_port()}}
    file.write_text(json.dumps({"plugins": {"audit": {}, "embedded_ca": {}, "federation": federation}}))
    found = rules("mosaic-federation", "--config", str(file))
    probes = {name: len(checked) for (hook, name, _), checked in found.items() if hook == "mosaic_probes"}
    assert {"federation listener", "federation peers", "federation grants", "row security"} <= set(probes)
    assert set(probes.values()) == {7}


async def _database(server: TcpPostgres) -> str:
    return server.url(await server.new_database())


def test_services_come_from_a_file_and_without_it_the_rules_are_not_run(
    server_postgres: TcpPostgres, tmp_path: Path
) -> None:
    import asyncio

    alone = rules("postgres", code=2)
    [reason] = {each["reason"] for each in alone["mosaic_storages", "postgres", "not run"]}
    assert "storage.url" in reason
    file = tmp_path / "check.json"
    file.write_text(json.dumps({"storage": {"url": asyncio.run(_database(server_postgres))}}))
    found = rules("postgres", "--config", str(file))
    assert len(found["mosaic_storages", "postgres", "passed"]) == 9


BROKEN = """
import asyncio, time
from pydantic import BaseModel, ConfigDict
from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import Finding, Probe, Verdict

class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    api_token: str = "hunter2"

@hookimpl
def mosaic_settings():
    return Settings

async def hangs():
    await asyncio.sleep(3600)

async def raises():
    raise RuntimeError("postgresql://lead:hunter2@db.work.example/work")

async def green():
    return Finding("green", "well")

async def talks():
    return Finding("red", "password=hunter2")

@hookimpl
def mosaic_probes(host):
    checks = {"hanging": hangs, "raising": raises, "fine": green, "talking": talks}
    return [Probe(name, check) for name, check in checks.items()]

class Nodding:
    name = "nodding"
    async def decide(self, request):
        return Verdict.allow()

@hookimpl
def mosaic_peer_policies(host):
    return [Nodding()]

class Deaf:
    async def record(self, event):
        pass

@hookimpl
def mosaic_audit_sinks(host):
    return [Deaf()]

@hookimpl
async def mosaic_jobs(host):
    return []
"""


def test_a_broken_plugin_is_told_rule_by_rule(install: Install) -> None:
    install("broken", BROKEN, requires="mosaic-hookspecs")
    found = rules("mosaic-broken", code=1)
    failed = {
        (each["object"], each["rule"]): each["reason"]
        for place, checked in found.items()
        for each in checked
        if place[2] == "failed"
    }
    sight = {rule: reason for (name, rule), reason in failed.items() if not name}
    assert "api_token" in sight["its settings mark what is secret"]
    assert "mosaic_jobs is async" in sight["its hooks are as they are specified"]
    assert "<" in sight["it names the releases of mosaic-hookspecs it was built for"]
    assert "no answer within" in failed["hanging", "it answers in time with a finding"]
    assert failed["raising", "it answers in time with a finding"].startswith("RuntimeError")
    assert failed["talking", "what is not green says what to do"]
    assert failed["talking", "no secret is told"]
    assert "hunter2" not in json.dumps(list(failed.values()))
    assert not [rule for name, rule in failed if name in ("fine", "nodding", "Deaf")]
    left_out = {
        place[1]: [each["reason"] for each in checked]
        for place, checked in found.items()
        if place[2] == "left out"
    }
    assert set(left_out["hanging"]) == {"it hung before"}
    assert any("it denies" in reason for reason in left_out["nodding"])
    assert any("read back" in reason for reason in left_out["Deaf"])


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("unimportable", "import no_such_library", "no_such_library"),
        ("exiting", "raise SystemExit(3)", "SystemExit"),
        (
            "raising",
            """
            from mosaic_hookspecs import hookimpl

            @hookimpl
            def mosaic_probes(host):
                raise RuntimeError("boom")
            """,
            "mosaic_probes raised RuntimeError: boom",
        ),
    ],
)
def test_what_does_not_load_is_one_row(install: Install, name: str, code: str, reason: str) -> None:
    install(name, code)
    printed = run(name, code=1)
    assert reason in printed
    assert f"failed  {name}: " in printed


def test_a_probe_that_blocks_is_interrupted(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mosaic_gateway.testing.check.running._SECONDS", 1)
    install(
        "blocking",
        """
        import time
        from mosaic_hookspecs import hookimpl
        from mosaic_hookspecs.types import Probe

        async def check():
            time.sleep(3600)

        @hookimpl
        def mosaic_probes(host):
            return [Probe("blocking", check)]
        """,
    )
    found = rules("blocking", code=1)
    [failed] = found["mosaic_probes", "blocking", "failed"]
    assert failed["reason"].startswith("Timeout")


def test_what_cannot_be_checked_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no_such_plugin") as unknown:
        run("no_such_plugin")
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pytest" else there(name))
    with pytest.raises(ConfigError, match="takes pytest") as bare:
        run("workspace")
    assert "mosaic-gateway[testing]" in bare.value.remedy
    assert unknown.value.exit_code == bare.value.exit_code == 2


def test_no_code_runs_but_that_of_the_distribution_that_is_named(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither another's plugin that is called like it, nor what pytest is told elsewhere to load."""
    install("fine", "")
    install("other", "raise SystemExit(3)")
    (tmp_path / "mosaic_other-1.0.dist-info/entry_points.txt").write_text(
        "[mosaic]\nmosaic-fine = mosaic_other.plugin\n"
    )
    monkeypatch.setenv("PYTEST_PLUGINS", "mosaic_other.plugin")
    assert {name for _, name, _ in rules("mosaic-fine")} == {""}


def test_what_the_environment_says_for_a_gateway_is_not_checked_against(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The services of a real one, and plugins that the file does not name."""
    (file := tmp_path / "check.json").write_text('{"plugins": {"audit": {}, "valkey": {}}}')
    monkeypatch.setenv("MOSAIC_STORAGE__URL", "postgresql://mosaic@db.work.example/mosaic")
    monkeypatch.setenv("MOSAIC_QUEUE__URL", "redis://queue.work.example:6379/0")
    monkeypatch.setenv("MOSAIC_PLUGINS__OTHER__KEY", "1")
    monkeypatch.setenv("MOSAIC_PLUGINS__VALKEY__CA_FILE", "/etc/ssl/valkey.pem")
    found = _settings(file)
    assert found.plugins == {"audit": {}, "valkey": {"ca_file": "/etc/ssl/valkey.pem"}}
    assert (found.queue, found.storage) == (None, None)
