"""A config is data: no text in it, and no file beside it, is run, and none keeps the gateway busy for ever."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from mosaic_gateway.config import read_config
from mosaic_hookspecs.errors import ConfigError
from mosaic_runs import run_mosaic

GOOD = {"tier": "local", "name": "home", "data_dir": "data"}
PROGRAM = "import pathlib; pathlib.Path(__file__).with_name('ran').touch()\ndef load(*a, **k): pass\n"


def test_a_program_beside_the_config_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "mosaic.config.json"
    path.write_text(json.dumps(GOOD))
    (tmp_path / "dynaconf_hooks.py").write_text(PROGRAM)
    assert read_config(path).data == GOOD
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("place", ["mosaic.config.json", "mosaic.config.local.json"])
@pytest.mark.parametrize(
    "key",
    [
        "dynaconf_include", "DYNACONF_INCLUDE", "includes_for_dynaconf", "LOADERS_FOR_DYNACONF",
        "Loaders_For_Dynaconf", "preload_for_dynaconf", "secrets_for_dynaconf", "yaml_loader_for_dynaconf",
    ],
)  # fmt: skip
def test_no_key_of_a_config_imports_a_module(
    tmp_path: Path, key: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hostile_module.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mosaic.config.json").write_text(json.dumps(GOOD))
    (tmp_path / place).write_text(json.dumps(GOOD | {key: ["hostile_module"]}))
    with pytest.raises(ConfigError, match=key):
        read_config(tmp_path / "mosaic.config.json")
    assert not (tmp_path / "ran").exists()
    assert "hostile_module" not in sys.modules


@pytest.mark.parametrize("place", ["mosaic.config.json", "mosaic.config.local.json"])
@pytest.mark.parametrize("key", ["sealing_keys", "SEALING_KEYS", "config"])
def test_what_only_a_variable_may_hold_is_refused_in_a_file(tmp_path: Path, key: str, place: str) -> None:
    """It would not be heeded there, and whoever wrote it would think that it is."""
    (tmp_path / "mosaic.config.json").write_text(json.dumps(GOOD))
    (tmp_path / place).write_text(json.dumps(GOOD | {key: "hunter2"}))
    with pytest.raises(ConfigError, match=f"{key} is no setting") as refused:
        read_config(tmp_path / "mosaic.config.json")
    assert f"MOSAIC_{key.upper()}" in refused.value.remedy
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("token", ["@jinja", "@int @jinja", "@str @jinja", "@merge x=@jinja"])
@pytest.mark.parametrize("place", ["file", "variable"])
def test_no_value_of_a_config_is_a_program(
    tmp_path: Path, token: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hostile_module.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(str(tmp_path))
    value = token + " home{{ this.load_file('hostile_module') }}"
    if place == "variable":
        monkeypatch.setenv("MOSAIC_NAME", value)
    path = tmp_path / "mosaic.config.json"
    path.write_text(json.dumps(GOOD | ({"name": value} if place == "file" else {})))
    with suppress(ConfigError):
        assert "{{" in str(read_config(path).data["name"])  # not a token in this place: left as it is
    assert not (tmp_path / "ran").exists()
    assert "hostile_module" not in sys.modules


def test_a_file_beside_the_config_is_checked_like_it(tmp_path: Path) -> None:
    (tmp_path / "mosaic.config.json").write_text(json.dumps(GOOD))
    (tmp_path / "mosaic.config.local.json").write_text("{")
    with pytest.raises(ConfigError, match=r"mosaic\.config\.local\.json:1:2"):
        read_config(tmp_path / "mosaic.config.json")


def _bomb() -> str:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]")
    return "\n".join(lines)


@pytest.mark.parametrize("text", [_bomb(), "a: &a [*a]", "a: &a {b: *a}"])
def test_a_yaml_of_few_lines_and_endless_content_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mosaic.config.yaml"
    path.write_text(f"tier: local\nname: home\ndata_dir: data\n{text}\n")
    ended = run_mosaic("--config", path, "gateway", "config", "check", seconds=60)
    assert ended.returncode == 3, ended.stderr
    assert "too many values" in ended.stderr
