"""What a release promised to plugins, the next one keeps: see docs/explanation/plugin-compatibility.md."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
import pytest

from mosaic_hookspecs import PROJECT

HERE = Path(__file__).parent
RECORDS = sorted(HERE.glob("release_*.json"))
describing = runpy.run_path(str(HERE / "describe.py"))
comparing = runpy.run_path(str(HERE / "compare.py"))
broken = comparing["broken"]
Description = dict[str, Any]


@pytest.fixture(scope="module")
def today() -> Description:
    description: Description = describing["describe"]()
    return description


@pytest.mark.parametrize("record", RECORDS, ids=[record.stem for record in RECORDS])
def test_nothing_that_a_release_had_is_taken_away_renamed_or_reordered(
    record: Path, today: Description
) -> None:
    assert broken(json.loads(record.read_text()), today) == []


def test_there_is_a_record_of_this_release(today: Description) -> None:
    """Of its hooks at least: what is added needs no new record until the release is out."""
    major, minor, *_ = today["release"].split(".")
    record = HERE / f"release_{major}_{minor}.json"
    assert json.loads(record.read_text())["hooks"] == today["hooks"], (
        f"run hookspecs/tests/describe.py > {record.name}"
    )


def test_whatever_is_retired_says_with_which_release_it_goes(today: Description) -> None:
    for name, hook in today["hooks"].items():
        for words in filter(None, [hook["retired"], *hook["retired arguments"].values()]):
            assert not comparing["due"](words, today["release"]), f"{name} should be gone: {words}"
            assert any(word[:1].isdigit() for word in words.split()), f"{name}: which release drops it?"


# --- the comparison itself ---


def changed(today: Description, change: str) -> list[str]:
    """What is broken by a change of this release's description, given as a statement."""
    new = json.loads(json.dumps(today))
    modules = new["modules"]
    names = {
        "modules": modules,
        "hooks": new["hooks"],
        "host": modules["protocols"]["Host"]["members"],
        "storage": modules["protocols"]["Storage"]["members"],
        "probe": modules["types"]["Probe"],
    }
    exec(change, names)
    return broken(today, new)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("del hooks['mosaic_probes']", "hook mosaic_probes is gone"),
        ("hooks['mosaic_probe'] = hooks.pop('mosaic_probes')", "hook mosaic_probes is gone"),
        ("hooks['mosaic_probes']['arguments'] = []", "hook mosaic_probes: its arguments were ['host']"),
        ("hooks['mosaic_probes']['arguments'] = ['gateway']", "hook mosaic_probes: its arguments were"),
        (
            "hooks['mosaic_peer_enrolled']['arguments'].reverse()",
            "hook mosaic_peer_enrolled: its arguments were",
        ),
        ("hooks['mosaic_probes']['async'] = True", "hook mosaic_probes: async was False"),
        ("hooks['mosaic_probes']['firstresult'] = True", "hook mosaic_probes: firstresult was False"),
        ("del modules['types']['Probe']", "types.Probe is gone"),
        ("del probe['fields']['name']", "types.Probe: its fields were"),
        ("probe['fields']['colour'] = True", "types.Probe.colour must be given"),
        (
            "probe['fields'] = {'new': False, **probe['fields']}",
            "types.Probe: its fields were",
        ),
        ("modules['types']['PeerVerb']['values'].remove('list')", "types.PeerVerb: values ['list'] are gone"),
        ("del host['cache']", "protocols.Host.cache is gone"),
        (
            "host['settings'] = ['kind']",
            "protocols.Host.settings: its parameters were",
        ),
        (
            "host['notify'] = ['facts...']",
            "protocols.Host.notify: its parameters were",
        ),
        ("storage['close'] = []", "protocols.Storage.close is asked for"),
        (
            "storage['open'].append('*fast=')",
            "protocols.Storage.open: its parameters were",
        ),
        ("modules['errors']['Invalid']['status'] = 400", "errors.Invalid: status was 422"),
        (
            "modules['sql']['load_queries']['parameters'].append('more')",
            "sql.load_queries: its parameters were",
        ),
    ],
)
def test_what_plugins_would_miss_is_found(today: Description, change: str, what: str) -> None:
    (found,) = changed(today, change)
    assert found.startswith(what)


@pytest.mark.parametrize(
    "change",
    [
        "hooks['mosaic_new'] = hooks['mosaic_probes']",
        "hooks['mosaic_probes']['arguments'].append('more')",
        "probe['fields']['colour'] = False",
        "modules['types']['PeerVerb']['values'].append('count')",
        "host['clock'] = []",
        "host['settings'].append('strict=')",
        "host['consult'].append('*trace=')",
        "modules['sql']['load_queries']['parameters'].append('more=')",
    ],
)
def test_what_is_added_breaks_nothing(today: Description, change: str) -> None:
    assert changed(today, change) == []


def test_what_said_that_it_goes_may_go_with_that_release_and_not_before() -> None:
    spec = pluggy.HookspecMarker(PROJECT)
    specs = ModuleType("specs")

    @spec(warn_on_impl=DeprecationWarning("mosaic_old goes in 0.4: use mosaic_new"))
    def mosaic_old() -> None: ...

    @spec(warn_on_impl_args={"b": DeprecationWarning("b goes in 0.4")})
    def mosaic_paint(a: str, b: str, c: str) -> None: ...

    vars(specs).update(mosaic_old=mosaic_old, mosaic_paint=mosaic_paint)
    old = {"release": "0.3.1", "hooks": describing["hooks"](specs), "modules": {}}
    paint = {**old["hooks"]["mosaic_paint"], "arguments": ["a", "c"]}
    new = {"hooks": {"mosaic_paint": paint}, "modules": {}}
    assert broken(old, {"release": "0.4.0", **new}) == []
    assert broken(old, {"release": "0.3.2", **new}) == [
        "hook mosaic_old is gone",
        "hook mosaic_paint: its arguments were ['a', 'b', 'c']",
    ]
