"""Plugins are found by metadata, imported only when named and fit, and blamed by name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from made_plugins import make_plugin
from mosaic_gateway.plugins import each, each_item, load, loader, settings_models, watch
from mosaic_gateway.plugins.loader import Registry
from mosaic_gateway.plugins.metadata import satisfies
from mosaic_hookspecs import specs
from mosaic_hookspecs.errors import ConfigError

Install = Callable[..., str]
HERE = version("mosaic-hookspecs")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a plugin for this test, as the function it wraps does."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def install(name: str, source: str = "", **how: str) -> str:
        made.append(make_plugin(tmp_path, name, source, **how))
        return made[-1]

    yield install
    for module in made:
        sys.modules.pop(module, None)


def loaded(*names: str) -> Registry:
    registry, faults = load({name: {} for name in names})
    assert faults == []
    return registry


def refused(name: str) -> str:
    registry, (fault,) = load({name: {}})
    assert registry.plugins == ()
    assert fault.where == f"plugins.{name}"
    return fault.message


TIERS = """
@hookimpl
def mosaic_tiers():
    from mosaic_hookspecs.types import Tier
    return [Tier(name, "embedded", "") for name in {names}]
"""


def names(registry: Registry) -> list[tuple[str, str]]:
    return [(plugin, tier.name) for plugin, tier in each_item(registry, "mosaic_tiers")]


def test_answers_come_in_config_order_with_the_plugin_that_gave_them(install: Install) -> None:
    install("zebra", TIERS.format(names=["z"]))
    install("silent", "@hookimpl\ndef mosaic_tiers():\n    return None")
    install("ant", TIERS.format(names=["a", "b"]))
    assert names(loaded("zebra", "silent", "ant")) == [("zebra", "z"), ("ant", "a"), ("ant", "b")]


def test_each_plugin_gets_its_own_host(install: Install) -> None:
    for name in ("one", "two"):
        install(name, "@hookimpl\ndef mosaic_lifespan(host):\n    return host")
    assert [host for _, host in each(loaded("one", "two"), "mosaic_lifespan", host_for=str.upper)] == [
        "ONE",
        "TWO",
    ]


def test_a_typing_error_in_a_name_suggests_the_installed_one() -> None:
    assert "did you mean 'workspace'?" in refused("workspaces")


@pytest.mark.parametrize("name", ["workspce", "pager"])
def test_nobody_is_told_to_install_a_name_that_is_not_ours(name: str) -> None:
    """Whoever registers a likely mistake would have their code run in the gateway."""
    assert "pip install" not in refused(name)


def test_a_plugin_of_ours_that_is_not_there_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "installed", dict)
    assert refused("step_ca").endswith("pip install mosaic-step-ca")
    assert "did you mean 'step_ca'?" in refused("step_ac")


def test_the_plugins_called_ours_are_those_of_this_repository() -> None:
    found = Path(__file__).parents[3].glob("plugins/*/pyproject.toml")
    assert {file.parent.name for file in found} == loader.OURS


def test_installed_plugins_are_not_imported_unasked() -> None:
    code = (
        "import sys; from mosaic_gateway.plugins import installed, load;"
        "assert 'federation' in installed(); load({'workspace': {}});"
        "print([m for m in sys.modules if m.startswith('mosaic_') and m.endswith('.plugin')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "['mosaic_workspace.plugin']"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import no_such_library_at_all", "No module named 'no_such_library_at_all'"),
        ("this is no Python", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("@hookimpl\ndef mosaic_tires():\n    return []", "unknown hook 'mosaic_tires'"),
        ("@hookimpl\ndef mosaic_probes(hosts):\n    return []", "hosts"),
        ("@hookimpl\ndef mosaic_settings():\n    raise RuntimeError('boom')", "RuntimeError: boom"),
        ("@hookimpl\ndef mosaic_settings():\n    return dict", "mosaic_settings returned no pydantic model"),
        (
            "from pydantic import BaseModel\nclass Loose(BaseModel): ...\n"
            "@hookimpl\ndef mosaic_settings():\n    return Loose",
            "its settings Loose are not frozen, or do not forbid unknown keys",
        ),
    ],
    ids=["library", "syntax", "import", "exit", "hook", "argument", "settings", "no model", "loose model"],
)
def test_a_plugin_that_does_not_load_is_named_and_leaves_the_others(
    install: Install, source: str, why: str
) -> None:
    install("odd", source)
    install("fine", TIERS.format(names=["a"]))
    registry, (fault,) = load({"odd": {}, "fine": {}})
    assert fault.where == "plugins.odd"
    assert "plugin 'odd' does not load" in fault.message
    assert why in fault.message
    assert "take it out of the config" in fault.message
    assert names(registry) == [("fine", "a")]


def test_a_hook_of_another_release_says_that_it_is_one(install: Install) -> None:
    install("odd", "@hookimpl\ndef mosaic_tires():\n    return []")
    assert "built for another mosaic-hookspecs" in refused("odd")


def test_an_optional_hook_of_another_release_is_left_alone(install: Install) -> None:
    install("odd", "@hookimpl(optionalhook=True)\ndef mosaic_tires():\n    return []")
    assert [plugin.name for plugin in loaded("odd").plugins] == ["odd"]


def test_two_distributions_with_one_plugin_name_are_both_refused_and_not_imported(install: Install) -> None:
    module = install("twin", "1 / 0", distribution="good-twin")
    install("twin", "1 / 0", distribution="evil-twin")
    assert refused("twin").startswith(
        "plugin 'twin' is offered by more than one distribution: evil-twin, good-twin"
    )
    assert module not in sys.modules


@pytest.mark.parametrize(
    ("requires", "upgrade"),
    [
        ("mosaic-hookspecs>=99.1,<99.2", "upgrade the gateway: pip install --upgrade mosaic-gateway"),
        ("mosaic-hookspecs (>=99)", "upgrade the gateway"),
        ("mosaic_hookspecs[testing] ~= 99.0 ; python_version >= '3'", "upgrade the gateway"),
        ("mosaic-hookspecs<0.1,>=0.0.1", "upgrade the plugin: pip install --upgrade made-odd"),
        ("mosaic-hookspecs==0.0.7", "upgrade the plugin"),
    ],
)
def test_a_plugin_built_for_other_hooks_is_refused_before_it_is_imported(
    install: Install, requires: str, upgrade: str
) -> None:
    module = install("odd", "1 / 0", requires=requires)
    message = refused("odd")
    assert "plugin 'odd' (made-odd 1.0) was built for mosaic-hookspecs " in message
    assert f"and {HERE} is installed" in message
    assert upgrade in message
    assert module not in sys.modules


@pytest.mark.parametrize(
    "requires",
    [
        f"mosaic-hookspecs>={HERE}",
        "mosaic-hookspecs",
        "",
        "mosaic-hookspecs>=99; extra == 'later'",
        "mosaic-hookspecs-more>=99",
        "mosaic-hookspecs!=0.0.3",
    ],
)
def test_a_plugin_built_for_these_hooks_or_that_does_not_say_is_loaded(
    install: Install, requires: str
) -> None:
    install("fine", requires=requires)
    assert [plugin.distribution for plugin in loaded("fine").plugins] == ["made-fine"]


def test_metadata_that_cannot_be_read_is_named(install: Install) -> None:
    install("odd", requires="mosaic-hookspecs >< 3")
    assert "which is no requirement: reinstall it" in refused("odd")


RELEASES = st.lists(st.integers(0, 3), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))


@given(RELEASES, st.lists(st.tuples(st.sampled_from([">=", "<", "==", "~="]), RELEASES), max_size=3))
def test_bounds_are_read_as_packaging_reads_them(release: str, bounds: list[tuple[str, str]]) -> None:
    text = ",".join(sign + (f"{bound}.0" if sign == "~=" else bound) for sign, bound in bounds)
    assert satisfies(release, text) == SpecifierSet(text).contains(release, prereleases=True)


def test_all_settings_models_can_be_had_unless_a_plugin_does_not_load(install: Install) -> None:
    assert "federation" in settings_models()
    install("odd", "1 / 0")
    with pytest.raises(ConfigError, match="plugin 'odd' does not load"):
        settings_models()


def test_what_a_coming_release_drops_is_told_of_the_plugin_that_uses_it(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Coming:
        @staticmethod
        @specs.pluggy.HookspecMarker("mosaic")(
            warn_on_impl=DeprecationWarning("mosaic_old goes in 0.4: use mosaic_probes")
        )
        def mosaic_old() -> None: ...

        @staticmethod
        @specs.pluggy.HookspecMarker("mosaic")(
            warn_on_impl_args={"colour": DeprecationWarning("colour of mosaic_paint goes in 0.4")}
        )
        def mosaic_paint(colour: str, host: str) -> None: ...

    monkeypatch.setattr(loader, "specs", Coming)
    install("old", "@hookimpl\ndef mosaic_old(): ...\n@hookimpl\ndef mosaic_paint(host, colour): ...")
    install("new", "@hookimpl\ndef mosaic_paint(host): ...")
    old, new = loaded("old", "new").plugins
    assert list(old.warnings) == [
        "mosaic_old goes in 0.4: use mosaic_probes",
        "colour of mosaic_paint goes in 0.4",
    ]
    assert new.warnings == []


def test_an_import_that_hangs_is_named(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PATIENCE", 0.05)
    install("stuck", "import threading\nthreading.Event().wait()")
    with pytest.raises(ConfigError, match=r"plugin 'stuck': its import did not come back within 0\.05 s"):
        load({"stuck": {}})
