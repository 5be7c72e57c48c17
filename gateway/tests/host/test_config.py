"""A config is read whole, bound whole, and every fault is told at once with its dotted path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mosaic_gateway.compose import compose
from mosaic_gateway.config import Config, bind, find_config, read_config
from mosaic_hookspecs.errors import ConfigError

GOOD = {"tier": "local", "name": "home", "data_dir": "data", "plugins": {"workspace": {}}}


def write(directory: Path, data: object, name: str = "mosaic.config.json") -> Path:
    path = directory / name
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def composing(directory: Path, **changes: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        compose(read_config(write(directory, GOOD | changes)))
    return caught.value


def test_json_toml_and_yaml_say_the_same(tmp_path: Path) -> None:
    toml = 'tier = "local"\nname = "home"\ndata_dir = "data"\n[plugins.workspace]\n'
    yaml = "tier: local\nname: home\ndata_dir: data\nplugins:\n  workspace: {}\n"
    sources = [
        read_config(write(tmp_path, GOOD)),
        read_config(write(tmp_path, toml, "a.toml")),
        read_config(write(tmp_path, yaml, "a.yaml")),
    ]
    assert [source.data for source in sources] == [GOOD] * 3


def test_environment_overrides_any_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOSAIC_NAME", "work")
    monkeypatch.setenv("MOSAIC_LISTEN__PUBLIC__PORT", "9000")
    monkeypatch.setenv("MOSAIC_CONFIG", "not-a-setting")
    config, faults = bind(Config, read_config(write(tmp_path, GOOD)).data)
    assert faults == []
    assert config is not None
    assert (config.name, config.listen.public.port) == ("work", 9000)


def test_all_faults_are_reported_together_with_dotted_paths(tmp_path: Path) -> None:
    error = composing(
        tmp_path,
        name="Not a name",
        listen={"public": {"prot": 1, "port": 70_000}},
        plugins={"workspace": {"colour": "red"}, "pager": {}},
    )
    where = {fault.where: fault.message for fault in error.faults}
    assert set(where) == {
        "name", "listen.public.prot", "listen.public.port", "plugins.workspace.colour", "plugins.pager",
    }  # fmt: skip
    assert "did you mean 'port'" in where["listen.public.prot"]
    assert "pip install mosaic-pager" in where["plugins.pager"]


def test_a_fault_never_repeats_the_value(tmp_path: Path) -> None:
    secret = "hunter2" * 5
    assert secret not in str(composing(tmp_path, name=secret + " ", public_url=secret))


def test_an_unknown_tier_names_the_known_ones(tmp_path: Path) -> None:
    fault = composing(tmp_path, tier="locale").faults[0]
    assert (fault.where, "local" in fault.message) == ("tier", True)


def test_an_environment_variable_nobody_knows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOSAIC_LISTN__PUBLIC__PORT", "1")
    assert [fault.where for fault in composing(tmp_path).faults] == ["listn"]


def test_data_dir_is_relative_to_the_config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    path = write(tmp_path / "sub", GOOD)
    monkeypatch.chdir(tmp_path)
    assert compose(read_config(path)).config.data_dir == tmp_path / "sub" / "data"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.json", '{"tier": \n oops}', "a.json:2:2"),
        ("a.toml", "tier = ", "a.toml"),
        ("a.yaml", "tier: [", "a.yaml:"),
        ("a.json", "[1]", "expected a table"),
        ("a.ini", "", "unknown type"),
    ],
)
def test_a_broken_file_is_named_with_its_place(tmp_path: Path, name: str, text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected.replace(".", r"\.")):
        read_config(write(tmp_path, text, name))


def test_a_missing_file_and_an_empty_directory_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_config(tmp_path / "absent.json")
    with pytest.raises(ConfigError, match="mosaic gateway init"):
        find_config(tmp_path)


@pytest.mark.parametrize(
    "value", ["@int x", "@json {", "@format {env[MOSAIC_NOPE]}", "@read_file /nope/hunter2"]
)
@pytest.mark.parametrize("place", ["file", "variable"])
def test_a_token_that_cannot_be_computed_is_a_fault_of_the_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, place: str
) -> None:
    path = write(tmp_path, GOOD | {"name": value} if place == "file" else GOOD)
    if place == "variable":
        monkeypatch.setenv("MOSAIC_NAME", value)
    with pytest.raises(ConfigError, match="a value that starts with @") as caught:
        read_config(path)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("text", "name"), [
    ("[" * 100_000, "a.json"), ('{"n": ' + "9" * 5000 + "}", "a.json"),
    ("a: " + "[" * 100_000, "a.yaml"), ("a = " + "[" * 100_000, "a.toml"),
])  # fmt: skip
def test_an_absurd_file_is_refused_by_name(tmp_path: Path, text: str, name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        read_config(write(tmp_path, text, name))


@pytest.mark.parametrize("data_dir", ["a\0b", "~no-such-user/data"])
def test_a_path_that_cannot_be_is_a_fault_of_its_key(tmp_path: Path, data_dir: str) -> None:
    assert [fault.where for fault in composing(tmp_path, data_dir=data_dir).faults] == ["data_dir"]
