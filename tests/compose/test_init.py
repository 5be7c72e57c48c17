"""`compose/init`: what an operator runs first."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

COMPOSE = Path(__file__).parents[2] / "compose"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(COMPOSE / "init", tmp_path)
    return tmp_path


def init(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(folder / "init")], cwd="/", text=True, capture_output=True, check=False)


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_it_makes_every_secret_of_the_compose_files_closed_to_others(folder: Path) -> None:
    assert init(folder).returncode == 0
    declared = yaml.safe_load((COMPOSE / "standalone.yml").read_text())["secrets"]
    files = {each["file"].removeprefix("./") for each in declared.values()}
    assert contents(folder).keys() == files | {".env", "init"}
    assert len({contents(folder)[file] for file in files}) == len(files)
    for file in files:
        assert stat.S_IMODE((folder / file).stat().st_mode) == 0o600
        assert len(contents(folder)[file].strip()) == 64
    assert stat.S_IMODE((folder / "secrets").stat().st_mode) == 0o700


def test_the_containers_run_as_the_owner_of_the_secrets_and_never_as_root(folder: Path) -> None:
    init(folder)
    user = dict(line.split("=") for line in contents(folder)[".env"].splitlines())
    owner = (folder / "secrets" / "valkey").stat()
    assert user == {"STACK_UID": str(owner.st_uid), "STACK_GID": str(owner.st_gid)}
    assert owner.st_uid == (os.getuid() or 10001)


def test_a_second_run_changes_nothing(folder: Path) -> None:
    init(folder)
    (folder / "secrets" / "valkey").write_text("mine\n")
    before = contents(folder)
    again = init(folder)
    assert again.returncode == 0
    assert "made" not in again.stdout
    assert contents(folder) == before


def test_an_empty_secret_is_refused_and_named(folder: Path) -> None:
    (folder / "secrets").mkdir()
    (folder / "secrets" / "valkey").touch()
    done = init(folder)
    assert done.returncode == 1
    assert "secrets/valkey is empty" in done.stderr


def test_it_prints_no_password(folder: Path) -> None:
    printed = init(folder).stdout
    assert printed
    for name, text in contents(folder).items():
        assert name in ("init", ".env") or text.strip() not in printed


def test_git_does_not_see_what_it_makes() -> None:
    ignored = (COMPOSE / ".gitignore").read_text().split()
    assert ignored == ["/secrets/", "/.env"]
