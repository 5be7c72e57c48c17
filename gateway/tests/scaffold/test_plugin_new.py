"""`mosaic plugin new`: projects that are whole, pass what they bring, and take nothing's place."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mosaic_gateway.cli.main import mosaic
from mosaic_gateway.scaffold import KINDS, write_project
from mosaic_hookspecs.errors import ConfigError, Conflict, Malformed

BIN = Path(sys.executable).parent
KEPT = Path(__file__).parents[3] / ".mypy_cache"
#: Of names: a line is broken where it is too long, and only there.
LENGTHS = {"short": 3, "usual": 12, "long": 40}


def run(*command: str | Path, cwd: Path, **environment: str) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd, env=os.environ | environment, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def new(*arguments: str | Path) -> Result:
    return CliRunner().invoke(mosaic, ["plugin", "new", *map(str, arguments)])


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of each kind."""
    folder = tmp_path_factory.mktemp("projects")
    for kind in KINDS:
        made = new(kind, f"my_{kind}", "--directory", folder / kind, "--json")
        assert made.exit_code == 0, made.output
        files = {
            str(path.relative_to(folder / kind)) for path in (folder / kind).rglob("*") if path.is_file()
        }
        assert files == set(json.loads(made.stdout)["files"])
    return folder


def test_the_command_offers_every_kind() -> None:
    assert "|".join(KINDS) in new("--help").output


@pytest.mark.timeout(600)
def test_installed_they_pass_their_own_tests(projects: Path, tmp_path: Path) -> None:
    """Each in its own distribution, in one folder, tried by one run of pytest: starting it costs more than they do."""
    install = ("uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation")
    folders = [projects / kind for kind in KINDS]
    where = ("--python", sys.executable, "--target", tmp_path / "site")
    run(BIN / install[0], *install[1:], *where, *folders, cwd=projects)
    config = ("-c", projects / "probe" / "pyproject.toml", "--rootdir", projects)
    quick = ("-q", "-p", "no:cacheprovider", "-p", "no:schemathesis")  # that takes three seconds to import
    tests = [folder / "tests" for folder in folders]
    run(BIN / "pytest", *config, *quick, *tests, cwd=projects, PYTHONPATH=str(tmp_path / "site"))


def test_their_types_are_right(projects: Path, tmp_path: Path) -> None:
    """With what `make check` has kept of the modules that they import: mypy takes the same again for the same files."""
    if KEPT.exists():
        shutil.copytree(KEPT, tmp_path, dirs_exist_ok=True)
    parts = [projects / kind / part for kind in KINDS for part in ("src", "tests")]
    config = ("--config-file", projects / "probe" / "pyproject.toml", "--cache-dir", tmp_path)
    sources = os.pathsep.join(str(projects / kind / "src") for kind in KINDS)
    run(BIN / "mypy", *config, *parts, cwd=projects, MYPYPATH=sources)


@pytest.mark.parametrize("length", LENGTHS)
def test_they_are_formatted_and_linted_whatever_they_are_called(length: str, tmp_path: Path) -> None:
    for kind in KINDS:
        write_project(kind, f"q{kind}"[: LENGTHS[length]].ljust(LENGTHS[length], "q"), tmp_path / kind)
        run(BIN / "ruff", "check", "--no-cache", cwd=tmp_path / kind)
        run(BIN / "ruff", "format", "--no-cache", "--check", cwd=tmp_path / kind)


@pytest.mark.parametrize(("kind", "most"), [("probe", 40), ("policy", 55), ("resource", 60)])
def test_they_are_short(projects: Path, kind: str, most: int) -> None:
    sources = [each for each in (projects / kind / "src").rglob("*") if each.suffix in (".py", ".sql")]
    assert sum(len(each.read_text().splitlines()) for each in sources) <= most


def test_it_says_what_comes_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    printed = new("probe", "disk_room").output
    assert "cd mosaic-disk-room\n" in printed
    project = (tmp_path / "mosaic-disk-room" / "pyproject.toml").read_text()
    assert 'disk_room = "mosaic_disk_room.plugin"' in project
    assert '"mosaic-hookspecs>=0.' in project


@pytest.mark.parametrize(
    "name", ["", "Recipes", "1st", "disk-room", "disk__room", "disk_", "réçu", "x" * 41, "a/b", "..", "a\n"]
)
def test_what_is_no_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="not a name"):
        write_project("probe", name, tmp_path / "new")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["gateway", "hookspecs", "class", "order", "users", "peers", "tier_office"])
def test_a_reserved_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="reserved"):
        write_project("resource", name, tmp_path / "new")


@pytest.mark.parametrize("name", ["workspace", "step_ca"])
def test_the_name_of_an_installed_plugin_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match=f"of mosaic-{name.replace('_', '-')}"):
        write_project("probe", name, tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for taken in ("full", "full/mine", "link"):
        refused = new("probe", "disk_room", "--directory", tmp_path / taken)
        assert isinstance(refused.exception, Conflict), refused.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "link"]
    assert (tmp_path / "full" / "mine").read_text() == "mine"


def test_an_empty_directory_is_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_project("probe", "disk_room", tmp_path / "empty")
    assert (tmp_path / "empty" / "README.md").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_nothing_half_written_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = 0
    write_text = Path.write_text

    def full_disk(self: Path, *args: str, **options: str) -> int:
        nonlocal written
        written += 1
        if written == 4:
            raise OSError(28, "No space left on device")
        return write_text(self, *args, **options)

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(ConfigError, match="No space left"):
        write_project("resource", "recipes", tmp_path / "new")
    assert written == 4
    assert not list(tmp_path.iterdir())
