"""`.ci/step-ca`: what it makes, and what it says where it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_in_a_clone(clone: Path, go: str) -> subprocess.CompletedProcess[str]:
    """The script in a fresh checkout, with an empty cache and a ``go`` that is this script."""
    (clone / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "step-ca", clone / ".ci")
    (clone / "bin").mkdir()
    (clone / "bin" / "go").write_text(f"#!/bin/sh\n{go}\n")
    (clone / "bin" / "go").chmod(0o755)
    environment = {"PATH": f"{clone / 'bin'}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(clone / "cache")}
    return subprocess.run(
        [clone / ".ci" / "step-ca"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_it_makes_the_version_that_it_names(step_ca_program: Path) -> None:
    said = subprocess.run([step_ca_program, "version"], capture_output=True, text=True, check=True).stdout
    assert "Smallstep CA/0.30.2" in said


def test_a_second_checkout_builds_nothing(tmp_path: Path) -> None:
    built = tmp_path / "cache" / "mosaic" / "step-ca-0.30.2" / "step-ca"
    built.parent.mkdir(parents=True)
    built.touch(mode=0o755)
    done = run_in_a_clone(tmp_path, "exit 1")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{built}\n", "")


@pytest.mark.parametrize(
    ("go", "says"),
    [
        ("echo go version go1.24.9 linux/amd64", "there is no Go 1.25 here"),
        ("exit 1", "there is no Go 1.25 here"),
        ('test "$1" = version && echo go version go1.26.0 linux/amd64 || { echo https://u:p@proxy >&2; exit 1; }',
         "it cannot be built; is Go's module proxy within reach?"),
    ],
    ids=["old", "broken", "no proxy"],
)  # fmt: skip
def test_it_says_what_is_missing_and_leaves_nothing_half(tmp_path: Path, go: str, says: str) -> None:
    done = run_in_a_clone(tmp_path, go)
    assert done.returncode == 1
    assert says in done.stderr
    assert "https://" not in done.stderr + done.stdout
    assert list((tmp_path / "cache" / "mosaic" / "step-ca-0.30.2").iterdir()) == []
