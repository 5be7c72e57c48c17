"""The reference pages say what the code says, and each thing on them has an example and a test: a new one, too."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))

from writing import routes, tests  # noqa: E402
from writing.cli import commands, run_by  # noqa: E402
from writing.config import example, keys, models  # noqa: E402
from writing.errors import OF_HTTP, codes_of_http, ours, shown_by  # noqa: E402
from writing.hooks import HOOKS, example_test  # noqa: E402
from writing.markdown import prose  # noqa: E402
from writing.metrics import every  # noqa: E402

from mosaic_gateway.cli.main import mosaic  # noqa: E402
from mosaic_gateway.config import Config, bind  # noqa: E402
from mosaic_hookspecs import PROJECT  # noqa: E402
from mosaic_hookspecs.errors import MosaicError  # noqa: E402


def test_the_generated_pages_are_fresh() -> None:
    """By a process of its own: this one may have plugins of other tests."""
    check = [sys.executable, ROOT / "docs" / "generate.py", "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, "run `make docs`\n" + done.stdout + done.stderr


def test_each_hook_has_an_example_and_a_test_that_runs_it() -> None:
    assert [name for name in HOOKS if not example_test(name)] == []


def test_each_command_shows_examples_and_is_run_by_a_test() -> None:
    leaves = [
        (path[1:], context)
        for path, context in commands("mosaic", mosaic)
        if not isinstance(context.command, click.Group)
    ]
    without = [words for words, context in leaves if "Example" not in context.get_help()]
    assert without == [], "add an epilog with examples"
    assert [words for words, _ in leaves if not run_by(words)] == [], "no test and no page runs it"


def test_each_error_has_a_cause_a_remedy_and_a_test() -> None:
    assert [each.code for each in ours() if "\n\nTo do: " not in prose(each)] == []
    assert [code for code in {*(each.code for each in ours()), *codes_of_http()} if not shown_by(code)] == []
    assert codes_of_http() <= {code for code, _ in OF_HTTP.values()}


def test_the_names_of_metrics_say_what_is_counted() -> None:
    names = [each.name for each, _ in every()]
    assert len(names) == len(set(names))
    for each, _ in every():
        assert re.fullmatch(r"mosaic(_[a-z]+)+", each.name)
        assert each.help.endswith(".")
        assert not each.name.endswith(("_total", "_count", "_sum", "_bucket"))  # which the format adds
        assert (each.kind == "histogram") <= each.name.endswith("_seconds")
        assert not {"user", "peer", "subject", "token", "row", "grant"} & set(each.labels)


def test_no_plugin_has_an_error_code_of_its_own() -> None:
    """What is raised is one of those on the page."""
    models()  # imports every plugin
    assert {each.code for each in _below(MosaicError)} == {each.code for each in ours()}


def _below(error: type[MosaicError]) -> set[type[MosaicError]]:
    return {error}.union(*(_below(each) for each in error.__subclasses__()))


@pytest.mark.parametrize("listener", ["public", "federation", "metrics"])
def test_the_documents_of_the_listeners_have_the_routes_that_are_registered(listener: str) -> None:
    registered = {(each.method, each.path) for each in routes.registered() if each.listener == listener}
    paths = routes.documents()[listener]["paths"]
    documented = {
        (method.upper(), path) for path, item in paths.items() for method in item if method != "parameters"
    }
    others = [f"/v1/{name}" for name in routes.services().rows.names() if name != routes.FOR_ALL]
    documented = {each for each in documented if not each[1].startswith(tuple(others))}
    assert registered == documented


def test_no_listener_and_no_plugin_with_routes_is_left_out() -> None:
    points = entry_points(group=PROJECT)
    bringing = {each.name for each in points if hasattr(import_module(each.value), "mosaic_routes")}
    assert bringing <= set(routes.PLUGINS)
    assert {listener.name for listener in routes.composed().listeners} == set(routes.documents())


def test_each_route_has_an_example_that_is_run() -> None:
    operations = {
        f"{each.listener} {routes.operation_of(each)['operationId']}" for each in routes.registered()
    }
    assert operations == set(routes.examples()), "docs/examples/requests.toml"
    assert "requests.toml" in (ROOT / routes.RUN_BY).read_text()


def test_every_key_is_in_the_example_that_is_bound() -> None:
    assert _leaves(example(), keys()) == keys() - {"plugins"}, "docs/examples/every-key.json"
    bound, faults = bind(Config, example())
    assert bound is not None
    assert faults == []
    for name, model in models().items():
        _, faults = bind(model, example()["plugins"].get(name, {}))
        assert faults == [], name


def _leaves(table: dict[str, Any], known: set[str], prefix: str = "") -> set[str]:
    """Dotted keys of a table, with * for any name; one that is a key of the models has no further ones in it."""
    found = set()
    for name, value in table.items():
        any_name = any(key.startswith(f"{prefix}*.") for key in known)
        key = f"{prefix}*" if any_name else prefix + name
        is_table = isinstance(value, dict) and (key not in known or key == "plugins")
        found |= _leaves(value, known, f"{key}.") if is_table else {key}
    return found


def test_what_the_pages_name_as_covering_is_there() -> None:
    """A test that is not there would be found nowhere: the look-up itself is tested."""
    assert tests.test_of("no test has these words: " + "x" * 3) == ""
    found = tests.test_of(r"def test_each_command_shows_examples")
    assert found == "tests/docs/test_reference.py::test_each_command_shows_examples_and_is_run_by_a_test"
    assert tomllib.loads((ROOT / "docs" / "examples" / "requests.toml").read_text())["request"]
    assert json.loads((ROOT / "docs" / "examples" / "every-key.json").read_text())
