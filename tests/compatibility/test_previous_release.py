"""This release's host with plugins built for the previous one, and the reverse; each in an environment of its own.

release_0_1 holds the wheels of that release: hookspecs, gateway, migrations, and the local tier.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from made_plugins import make_plugin
from mosaic_hookspecs import specs

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RECORD = ROOT / "hookspecs" / "tests" / "release_0_1.json"
HOOKS_0_1 = json.loads(RECORD.read_text())["hooks"]
Run = Callable[..., tuple[dict[str, Any] | str, list[str]]]


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the previous release, to go before this one on the path."""
    folder = tmp_path_factory.mktemp("release_0_1")
    uv = Path(sys.executable).parent / "uv"
    wheels = sorted((HERE / "release_0_1").glob("*.whl"))
    subprocess.run(
        [uv, "pip", "install", "-q", "--offline", "--no-deps", "--target", folder, *wheels], check=True
    )
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a host with one plugin; return what it says of itself, or why it would not, and what the plugin noted."""
    songs = tmp_path / "songs_of_0_1"
    songs.mkdir()
    (songs / "__init__.py").touch()
    (songs / "0001_songs.pre.sql").write_text(
        "-- requires: core>=2\nCREATE TABLE songs (title text NOT NULL, key bytea);\n"
        "SELECT make_resource('songs', '{title}');\n"
    )
    called = tmp_path / "called"
    called.touch()

    def run(
        source: str, requires: str, *release: Path, until: str = ""
    ) -> tuple[dict[str, Any] | str, list[str]]:
        make_plugin(tmp_path, "made", source, requires=requires)
        config = {
            "name": "home",
            "tier": "local",
            "data_dir": str(tmp_path / "data"),
            "plugins": {"made": {}},
        }
        path = tmp_path / "mosaic.config.json"
        path.write_text(json.dumps(config))
        done = subprocess.run(
            [sys.executable, HERE / "host.py", path, until, called],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(map(str, (*release, tmp_path))),
                "CALLED": str(called),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        said = done.stderr.strip() if done.returncode else json.loads(done.stdout)
        return said, called.read_text().splitlines()

    return run


OF_0_1 = (HERE / "of_0_1.py").read_text()
OF_TODAY = (HERE / "of_today.py").read_text()


def test_the_record_of_the_previous_release_is_what_its_wheel_says(previous: Path) -> None:
    describe = ROOT / "hookspecs" / "tests" / "describe.py"
    env = {**os.environ, "PYTHONPATH": str(previous)}
    done = subprocess.run([sys.executable, describe], env=env, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == json.loads(RECORD.read_text())


@pytest.mark.parametrize("release", ["0.1.0", version("mosaic-gateway")])
def test_a_plugin_of_the_previous_release_does_all_it_did(run: Run, previous: Path, release: str) -> None:
    """On the host it was built for, to see that it works there; and on this one, where no hook may be lost."""
    path = [previous] if release == "0.1.0" else []
    said, called = run(OF_0_1, "mosaic-hookspecs>=0.1,<0.3", *path, until="sang a")
    assert said == {
        "release": release,
        "listeners": ["public", "stage"],
        "mounts": ["stage"],
        "resources": ["songs"],
        "probes": {"tune": "green"},
    }
    assert {each for each in called if each.startswith("mosaic_")} == set(HOOKS_0_1)
    assert {each for each in called if not each.startswith("mosaic_")} == {
        "tables: 0 songs",
        "sealer: secret",
        "limiter: True",
        "resource: Things to be sung",
        "probe",
        "sang a",
        "left",
    }


def test_a_plugin_of_this_release_works_on_the_previous_host_with_an_optional_hook(
    run: Run, previous: Path
) -> None:
    said, called = run(OF_TODAY, "mosaic-hookspecs>=0.1,<0.3", previous)
    assert isinstance(said, dict), said
    assert (said["release"], said["probes"], called) == ("0.1.0", {"today": "green"}, ["probe"])


def test_and_its_optional_hook_is_called_on_this_one(run: Run) -> None:
    said, called = run(OF_TODAY, "mosaic-hookspecs>=0.1,<0.3")
    assert isinstance(said, dict), said
    assert (said["probes"], called) == ({"today": "green"}, ["mosaic_peer_policies", "probe"])


def test_without_one_the_previous_host_refuses_it_by_name(run: Run, previous: Path) -> None:
    assert "mosaic_peer_policies" in vars(specs).keys() - HOOKS_0_1.keys()
    said, called = run(OF_TODAY.replace("(optionalhook=True)", ""), "mosaic-hookspecs>=0.2,<0.3", previous)
    assert "plugins.made: plugin 'made' does not load" in said
    assert "unknown hook 'mosaic_peer_policies'" in said
    assert "upgrade or reinstall it, or take it out of the config" in said
    assert called == []
