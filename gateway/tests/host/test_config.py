"""A config is read whole, bound whole, and every fault is told at once with its dotted path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mosaic_gateway.compose import compose
from mosaic_gateway.config import Config, bind, find_config, read_config
from mosaic_hookspecs.errors import ConfigError
from mosaic_runs import run_mosaic

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
    assert "is not installed" in where["plugins.pager"]


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
    assert [fault.where for fault in composing(tmp_path).faults] == ["listn (MOSAIC_LISTN__PUBLIC__PORT)"]


def test_init_and_check_refuse_one_port_for_users_and_peers(tmp_path: Path) -> None:
    ports = ("--port", "9080", "--federation-port", "9080")
    refused = run_mosaic("gateway", "init", tmp_path, "--name", "home", *ports)
    assert refused.returncode == 3, refused.stderr
    assert "plugins.federation: listener 'federation' has port 9080 of 127.0.0.1" in refused.stderr
    assert list(tmp_path.iterdir()) == [], "the same command can be given again"
    plugins = {"embedded_ca": {}, "federation": {"listen": {"port": 9080}}}
    path = write(tmp_path, GOOD | {"listen": {"public": {"port": 9080}}, "plugins": plugins})
    checked = run_mosaic("--config", path, "gateway", "config", "check")
    assert (checked.returncode, "listen.public.port" in checked.stderr) == (3, True)


def test_a_fault_that_a_variable_sets_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOSAIC_LISTEN__PUBLIC__PRT", "1")
    monkeypatch.setenv("MOSAIC_LISTEN__PUBLIC__PORT", "70000")
    monkeypatch.setenv("MOSAIC_LISTEN__PUBLIC__TRUSTED_PROXIES", '["10.0.0.0/8", "nowhere"]')
    monkeypatch.setenv("MOSAIC_PLUGINS__WORKSPCE__X", "1")
    monkeypatch.setenv("MOSAIC_PLUGINS__PAGER__X", "1")
    error = composing(
        tmp_path, name="Not a name", listen={"public": {"port": 80}}, plugins={"pager": {"size": 2}}
    )
    assert {fault.where for fault in error.faults} == {
        "name",  # the file's
        "plugins.pager",  # which the file names, too
        "listen.public.prt (MOSAIC_LISTEN__PUBLIC__PRT)",
        "listen.public.port (MOSAIC_LISTEN__PUBLIC__PORT)",
        "listen.public.trusted_proxies.1 (MOSAIC_LISTEN__PUBLIC__TRUSTED_PROXIES)",
        "plugins.workspce (MOSAIC_PLUGINS__WORKSPCE__X)",
    }


def test_two_listeners_at_one_address_are_refused_unless_the_system_picks_the_port(tmp_path: Path) -> None:
    def listeners(port: int, figures: str) -> list[str]:
        config = GOOD | {"listen": {"public": {"port": port}}, "metrics": {"bind": figures}}
        return [each.name for each in compose(read_config(write(tmp_path, config))).listeners]

    with pytest.raises(ConfigError) as caught:
        listeners(9080, "127.0.0.1:9080")
    [fault] = caught.value.faults
    assert fault.where == "metrics.bind"
    assert "port 9080 of 127.0.0.1, and so has 'public' (listen.public.port): set another" in fault.message
    for port, figures in ((9080, "127.0.0.1:9081"), (9080, "127.0.0.2:9080"), (0, "127.0.0.1:9080")):
        assert listeners(port, figures) == ["public", "metrics"]


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


@pytest.mark.parametrize(
    ("name", "text", "remedy"),
    [
        ("a.json", '{"tier": "local",}', "a comma before }"),
        ("a.toml", "tier = ", "mend the TOML there"),
        ("a.yaml", "tier: [", "mend the YAML there"),
    ],
)
def test_a_broken_file_comes_with_a_remedy(tmp_path: Path, name: str, text: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(write(tmp_path, text, name))
    assert remedy in caught.value.remedy


def test_a_missing_file_and_an_empty_directory_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file") as caught:
        read_config(tmp_path / "absent.json")
    assert "mosaic gateway init" in caught.value.remedy
    assert "--config" in caught.value.remedy
    with pytest.raises(ConfigError, match="mosaic gateway init"):
        find_config(tmp_path)
    with pytest.raises(ConfigError, match="unknown type of config file"):
        read_config(Path())


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
