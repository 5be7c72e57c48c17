"""What a plugin sees of the gateway, and what it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pluggy
import pytest
from click.testing import CliRunner
from pydantic import BaseModel, ConfigDict

from mosaic_gateway.cli.main import mosaic
from mosaic_gateway.compose import Composition, compose
from mosaic_gateway.config import read_config
from mosaic_gateway.host import GatewayHost
from mosaic_gateway.plugins import answers
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.protocols import Host

Composed = Callable[..., Composition]


class Others(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    password: str = "hunter2"


SETTINGS = """
from pydantic import BaseModel, ConfigDict, SecretStr
class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    key: SecretStr = SecretStr("unset")
    size: int = 1
@hookimpl
def mosaic_settings(): return Settings
"""


def reachable(thing: object) -> Iterator[object]:
    """Everything that attributes lead to, as far as they go within two steps, and containers."""
    seen: set[int] = set()
    todo = [(thing, 0)]
    while todo:
        one, depth = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, dict):
            todo += [(each, depth) for each in one.values()]
        elif isinstance(one, list | tuple | set):
            todo += [(each, depth) for each in one]
        elif depth < 2:
            for name in dir(one):
                if not name.startswith("__"):
                    try:
                        todo.append((getattr(one, name), depth + 1))
                    except (ConfigError, AttributeError):
                        continue


def test_a_plugin_sees_its_own_settings_and_the_public_protocols_and_nothing_else(composed: Composed) -> None:
    up = composed(one=SETTINGS, two=SETTINGS)
    one = up.view("one")
    public = {name for name in dir(one) if not name.startswith("_")}
    assert public == answers.members(Host)
    settings = {name: up.host.settings[name] for name in ("one", "two")}
    assert one.settings(BaseModel) is settings["one"]
    with pytest.raises(ConfigError, match="plugin 'one' asked for settings of type Others, not its own"):
        one.settings(Others)
    for thing in reachable(one):
        assert thing is not settings["two"]
        assert not isinstance(thing, GatewayHost | Composition | pluggy.PluginManager)


def test_a_plugin_can_ask_whether_the_host_has_something(composed: Composed) -> None:
    one = composed(one="").view("one")
    assert not hasattr(one, "oracle")
    with pytest.raises(ConfigError, match=r"plugin 'one' asked for host\.oracle") as caught:
        _ = one.oracle
    assert "upgrade mosaic-gateway" in caught.value.remedy


def test_a_secret_setting_is_in_no_fault_and_not_shown(config: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(read_config(config({"odd": {"key": "hunter2", "size": "hunter2"}}, odd=SETTINGS)))
    assert "plugins.odd.size" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    path = config({"odd": {"key": "hunter2"}})
    shown = CliRunner().invoke(mosaic, ["--config", str(path), "gateway", "config", "show"])
    assert "plugins.odd.key" in shown.output
    assert "hunter2" not in shown.output
