"""What a user installs: the built wheels, and the README's own `pip install` line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
MEMBERS = sorted(p.parent for p in [*ROOT.glob("*/pyproject.toml"), *ROOT.glob("plugins/*/pyproject.toml")])


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command, pip without any index; return what it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, "PIP_NO_INDEX": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def installed_version(environment: Path) -> str:
    return run(environment / "bin" / "mosaic", "--version", cwd=environment)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wheel of each member, as `python -m build` would make it, by member folder."""
    out = tmp_path_factory.mktemp("wheels")
    built = {}
    for member in MEMBERS:
        folder = out / member.name
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=member)
        (built[str(member.relative_to(ROOT))],) = folder.glob("*.whl")
    return built


@pytest.fixture
def third_party(tmp_path: Path) -> Path:
    """An environment with pip and the pinned requirements, and nothing of ours."""
    environment = tmp_path / "venv"
    run(sys.executable, "-m", "virtualenv", "--no-periodic-update", environment)
    python = environment / "bin" / "python"
    run(BIN / "uv", "pip", "install", "--python", python, "--require-hashes", "-r", "requirements.lock")
    return environment


@pytest.mark.parametrize("member", [str(m.relative_to(ROOT)) for m in MEMBERS])
def test_wheel_holds_every_source_file(wheels: dict[str, Path], member: str) -> None:
    source = ROOT / member / "src"
    wanted = {
        str(path.relative_to(source))
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    held = {name for name in zipfile.ZipFile(wheels[member]).namelist() if ".dist-info/" not in name}
    assert held == wanted
    assert any(name.endswith("/py.typed") for name in held)


def test_wheels_install_into_an_empty_environment(wheels: dict[str, Path], third_party: Path) -> None:
    run(third_party / "bin" / "pip", "install", *wheels.values())
    assert re.match(r"mosaic\b.*\d+\.\d+", installed_version(third_party))


def test_the_readme_install_line_installs_every_member(third_party: Path) -> None:
    """The line as it is written; the build backend is the pinned one, so nothing is fetched."""
    line = re.search(r"^pip install (\./(?:.*\\\n)*.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert line, "README.md has no line `pip install ./…`"
    folders = line.group(1).replace("\\\n", " ").split()
    assert {ROOT / folder for folder in folders} == set(MEMBERS)
    run(third_party / "bin" / "pip", "install", "--no-build-isolation", *folders)
    assert re.match(r"mosaic\b.*\d+\.\d+", installed_version(third_party))


def test_members_are_of_one_release_and_say_which_hooks_they_were_built_for() -> None:
    projects = [tomllib.loads((member / "pyproject.toml").read_text())["project"] for member in MEMBERS]
    (release,) = {project["version"] for project in projects}
    major, minor, _ = map(int, release.split("."))
    wanted = f"mosaic-hookspecs>={major}.{minor},<{major}.{minor + 1}"
    for project in projects:
        if project["name"] != "mosaic-hookspecs":
            assert wanted in project["dependencies"], project["name"]


def test_no_lock_file_names_an_address() -> None:
    locks = [*ROOT.glob("*.lock"), *ROOT.glob("*/*.lock"), *ROOT.glob("plugins/*/*.lock")]
    assert ROOT / "requirements.lock" in locks
    assert not [lock for lock in locks if "://" in lock.read_text()]


def test_the_top_level_holds_only_the_agreed_folders() -> None:
    folders = {
        path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))
    }
    assert folders == {"gateway", "plugins", "hookspecs", "migrations", "compose", "tests", "docs"}
