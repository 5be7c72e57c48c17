"""What an operator sees of plugins that cannot be loaded."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pluggy
import pytest
from click.testing import CliRunner

from made_plugins import make_plugin
from mosaic_gateway.cli.main import mosaic
from mosaic_gateway.cli.start import _announce
from mosaic_gateway.compose import compose
from mosaic_gateway.config import read_config
from mosaic_gateway.health.doctor import examine
from mosaic_gateway.plugins import loader
from mosaic_gateway.serving import bind
from mosaic_hookspecs import specs
from mosaic_hookspecs.errors import ConfigError
from mosaic_runs import run_mosaic

STRICT = """
from pydantic import BaseModel, ConfigDict
class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    size: int = 1
@hookimpl
def mosaic_settings(): return Settings
"""
RAISING = """
@hookimpl
def mosaic_resources(): raise RuntimeError("boom")
"""
FINE = """
from mosaic_hookspecs.types import Listener
@hookimpl
def mosaic_listeners(host): return [Listener("side", "127.0.0.1", 1)]
"""


def test_the_list_shows_what_cannot_be_loaded_and_why(config: Callable[..., Path]) -> None:
    path = config(
        {"typo": {}, "strict": {"sise": 2}},
        broken="import no_such_library_at_all",
        raising=RAISING,
        strict=STRICT,
        fine=FINE,
    )
    done = CliRunner().invoke(mosaic, ["--config", str(path), "plugins", "list", "--json"])
    assert done.exit_code == 0, done.output
    rows = {row["name"]: row for row in json.loads(done.output)}
    named = ["tier_local", "broken", "raising", "strict", "fine", "typo"]
    assert {name: rows[name]["state"] for name in named} == dict.fromkeys(named, "refused") | {
        "tier_local": "loaded",
        "fine": "loaded",
    }
    assert rows["fine"]["offers"] == ["listener side"]
    assert "no_such_library_at_all" in rows["broken"]["note"]
    assert "mosaic_resources raised RuntimeError: boom" in rows["raising"]["note"]
    assert "did you mean 'size'?" in rows["strict"]["note"]
    assert "is not installed" in rows["typo"]["note"]
    assert rows["federation"]["state"] == "installed"


def test_the_doctor_shows_what_cannot_be_loaded_and_why(config: Callable[..., Path], tmp_path: Path) -> None:
    path = config(broken="raise SystemExit(0)")
    environment = {"PYTHONPATH": str(tmp_path), "PATH": ""}
    done = run_mosaic("--config", path, "gateway", "doctor", "--json", env=environment)
    assert done.returncode == 2, done.stderr
    (finding,) = json.loads(done.stdout)["findings"]
    assert finding["status"] == "red"
    assert "plugins.broken: plugin 'broken' does not load (SystemExit: 0)" in finding["detail"]


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install plugins that bring a command."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def install(name: str, source: str, command: str) -> None:
        made.append(make_plugin(tmp_path, name, source, command=command))

    yield install
    for module in made:
        sys.modules.pop(module, None)


COMMAND = "import click\n@click.command()\ndef command(): click.echo('sung')\n"


def test_a_command_that_cannot_be_imported_is_shown_and_the_others_work(
    commands: Callable[..., None],
) -> None:
    commands("mute", "import no_such_library_at_all", "mute")
    commands("quiet", "raise SystemExit(0)", "plugins.quiet")
    commands("singer", COMMAND, "sing")
    shown = CliRunner().invoke(mosaic, ["--help"])
    assert shown.exit_code == 0, shown.output
    assert re.search(r"mute +Cannot be used: made_mute does not load \(ModuleNotFoundError", shown.output)
    assert CliRunner().invoke(mosaic, ["sing"]).output == "sung\n"
    assert CliRunner().invoke(mosaic, ["plugins", "list", "--help"]).exit_code == 0
    for arguments in (["mute"], ["mute", "--some", "thing"]):
        error = CliRunner().invoke(mosaic, arguments).exception
        assert isinstance(error, ConfigError)
        assert "the command 'mute' of a plugin cannot be used: made_mute does not load" in error.detail


def test_a_command_offered_twice_is_neither(commands: Callable[..., None]) -> None:
    commands("singer", COMMAND, "sing")
    commands("twin", COMMAND, "sing")
    error = CliRunner().invoke(mosaic, ["sing"]).exception
    assert isinstance(error, ConfigError)
    assert "offered more than once: made_singer:command, made_twin:command" in error.detail


async def test_what_a_coming_release_drops_is_shown_wherever_an_operator_looks(
    config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "mosaic_old goes in 0.4: use mosaic_probes"

    @pluggy.HookspecMarker("mosaic")(warn_on_impl=DeprecationWarning(words))
    def mosaic_old() -> None: ...

    coming = ModuleType("coming")
    vars(coming).update({**vars(specs), "mosaic_old": mosaic_old})
    monkeypatch.setattr(loader, "specs", coming)
    path = config(old="@hookimpl\ndef mosaic_old(): ...")

    done = CliRunner().invoke(mosaic, ["--config", str(path), "plugins", "list", "--json"])
    (row,) = (row for row in json.loads(done.output) if row["name"] == "old")
    assert (row["state"], row["note"]) == ("loaded", words)

    composition = compose(read_config(path))
    (finding,) = (each.finding for each in await examine(composition) if each.plugin == "old")
    assert (finding.status, finding.detail, finding.remedy) == ("yellow", words, "upgrade made-old")

    sockets = [bind(replace(listener, port=0)) for listener in composition.listeners]
    _announce(composition, sockets)
    for each in sockets:
        each.close()
    assert f"warning: plugin 'old': {words}" in capsys.readouterr().err
