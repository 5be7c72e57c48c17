"""Plugins are found by metadata, imported only when named, and blamed by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mosaic_gateway.plugins import each, each_item, loader
from mosaic_gateway.plugins.loader import Registry, load
from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.errors import ConfigError


class FakePoint:
    """An entry point whose module the test made."""

    dist = None

    def __init__(self, module: str) -> None:
        self.module = module


def module(name: str, **hooks: Any) -> ModuleType:
    made = ModuleType(name)
    for hook, function in hooks.items():
        setattr(made, hook, hookimpl(function))
    return made


def loading(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> tuple[Registry, list[str]]:
    for made in modules:
        monkeypatch.setitem(sys.modules, made.__name__, made)
    points = {made.__name__: FakePoint(made.__name__) for made in modules}
    monkeypatch.setattr(loader, "installed", lambda: points)
    registry, faults = load({made.__name__: {} for made in modules})
    return registry, [str(fault) for fault in faults]


def test_answers_come_in_config_order_with_the_plugin_that_gave_them(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, faults = loading(
        monkeypatch,
        module("zebra", mosaic_tiers=lambda: ["z"]),
        module("silent", mosaic_tiers=lambda: None),
        module("ant", mosaic_tiers=lambda: ["a", "b"]),
    )
    assert faults == []
    assert list(each_item(registry, "mosaic_tiers")) == [("zebra", "z"), ("ant", "a"), ("ant", "b")]


def test_a_raising_hook_names_plugin_and_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode() -> None:
        raise RuntimeError("boom")

    registry, _ = loading(monkeypatch, module("bad_one", mosaic_tiers=explode))
    with pytest.raises(ConfigError, match="'bad_one': mosaic_tiers raised RuntimeError: boom"):
        list(each(registry, "mosaic_tiers"))


def test_each_plugin_gets_its_own_host(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, _ = loading(
        monkeypatch,
        module("one", mosaic_probes=lambda host: [host]),
        module("two", mosaic_probes=lambda host: [host]),
    )
    assert [v for _, v in each_item(registry, "mosaic_probes", host_for=str.upper)] == ["ONE", "TWO"]


def test_an_unknown_hook_is_refused_at_load(monkeypatch: pytest.MonkeyPatch) -> None:
    _, faults = loading(monkeypatch, module("odd", mosaic_tires=lambda: []))
    assert "plugins.odd" in faults[0]
    assert "mosaic_tires" in faults[0]


def test_a_bad_plugin_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, faults = loading(
        monkeypatch, module("odd", mosaic_tires=lambda: []), module("fine", mosaic_tiers=lambda: [1])
    )
    assert (len(faults), list(each_item(registry, "mosaic_tiers"))) == (1, [("fine", 1)])


def test_a_plugin_that_does_not_import_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "breaks_on_import.py").write_text("import no_such_library_at_all")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(loader, "installed", lambda: {"breaks": FakePoint("breaks_on_import")})
    _, faults = load({"breaks": {}})
    assert "no_such_library_at_all" in str(faults[0])


def test_a_typing_error_in_a_name_suggests_the_installed_one() -> None:
    _, faults = load({"workspaces": {}})
    assert "did you mean 'workspace'?" in str(faults[0])


def test_installed_plugins_are_not_imported_unasked() -> None:
    code = (
        "import sys; from mosaic_gateway.plugins import installed, load;"
        "assert 'federation' in installed(); load({'workspace': {}});"
        "print([m for m in sys.modules if m.startswith('mosaic_') and m.endswith('.plugin')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "['mosaic_workspace.plugin']"
