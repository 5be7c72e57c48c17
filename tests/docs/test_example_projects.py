"""The projects under docs/examples are built, installed and tested as their authors would, away from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PROJECTS = sorted(path.parent for path in EXAMPLES.glob("*/pyproject.toml"))
UV = Path(sys.executable).with_name("uv")


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_it_installs_and_its_own_tests_pass(project: Path, tmp_path: Path) -> None:
    copy, site = tmp_path / project.name, tmp_path / "site"
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    install = (UV, "pip", "install", "--offline", "--no-deps", "--no-build-isolation", "--target", site)
    run(*install, "--python", sys.executable, copy, at=copy)
    run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", at=copy, site=site)


def test_the_probe_is_one_of_twenty_lines() -> None:
    plugin = EXAMPLES / "disk_probe" / "src" / "mosaic_disk_probe" / "plugin.py"
    assert len(plugin.read_text().splitlines()) <= 20


def run(*command: str | Path, at: Path, site: Path | None = None) -> None:
    environment = {**os.environ, **({"PYTHONPATH": str(site)} if site else {})}
    environment = {name: value for name, value in environment.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        command,
        cwd=at,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout
