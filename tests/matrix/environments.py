"""An environment for a row, from built wheels: uv links its files from a cache, so one costs a second."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from tests.matrix.processes import Failed, run
from tests.matrix.rows import EXTRAS, WITHOUT_DEPENDENCIES, Row
from tests.matrix.wheels import CORE, ROOT, UV, Wheel, closure

PATIENCE = 300.0  # seconds: something may have to be downloaded
LOCKS = (ROOT / "requirements.lock", ROOT / ".ci" / "minilm.lock")


class Environment(NamedTuple):
    """A virtual environment, and what of ours is in it."""

    python: Path
    wheels: Sequence[Wheel]


@cache
def interpreter(version: str) -> Path | None:
    """A Python of this machine, 3.12 or so; None where there is none."""
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    if shutil.which("pyenv"):  # its python3.12 runs only where that version is chosen
        listed = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=False)
        environment["PYENV_VERSION"] = ":".join(listed.stdout.split())
    command: list[str | Path] = [UV, "python", "find", "--system", "--no-project", version]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return Path(done.stdout.strip()) if done.returncode == 0 else None


def make(directory: Path, row: Row, wheels: Mapping[str, Wheel], python: Path) -> Environment:
    """Install what the row loads, and what it only has lying about. Raises :class:`Failed` with uv's words."""
    names = [*CORE, *map(distribution, (*row.plugins, *row.idle))]
    chosen = closure(wheels, [*names, *([distribution(f"tier_{row.tier}")] if row.tier else [])])
    environment = Environment(directory / "bin" / "python", chosen)
    _uv("venv", "--python", python, directory)
    wanted = directory / "wanted.txt"
    wanted.write_text("\n".join(_wanted(chosen, wheels)))
    resolution = (
        [part for lock in LOCKS for part in ("--constraint", lock)]
        if row.resolution == "locked"
        else ["--resolution", row.resolution]
    )
    install(environment, "--requirements", wanted, *resolution)
    beside = [each for name in row.plugins for each in WITHOUT_DEPENDENCIES.get(name, ())]
    if beside:
        install(environment, "--no-deps", *beside)
    return environment


def install(environment: Environment, *what: str | Path) -> None:
    """Add something. Wheels only: nothing is compiled."""
    _uv("pip", "install", "--only-binary", ":all:", "--python", environment.python, *what)


def distribution(plugin: str) -> str:
    """Of one of our plugins."""
    return f"mosaic-{plugin.replace('_', '-')}"


def _wanted(chosen: Sequence[Wheel], wheels: Mapping[str, Wheel]) -> list[str]:
    """The wheels, and each of their requirements by itself: so "lowest-direct" is the lowest that *they* name."""
    extras = {distribution(plugin): extra for plugin, extra in EXTRAS.items()}
    lines = [f"{wheel.name} @ {wheel.path.as_uri()}" for wheel in chosen]
    for wheel in chosen:
        needs = wheel.needed(extras.get(wheel.name, ""))
        lines += [_without_extra(need) for need in needs if need.name not in wheels]
    return lines


def _without_extra(need: Requirement) -> str:
    return f"{need.name}{need.specifier}" if "extra" in str(need.marker or "") else str(need)


def _uv(*arguments: str | Path) -> None:
    command = [UV, "--quiet", "--no-config", *arguments]
    code, said = run(command, {**os.environ, "UV_PYTHON_DOWNLOADS": "never", **_index()}, PATIENCE)
    if code:
        raise Failed(said)


@cache
def _index() -> dict[str, str]:
    """As in .ci/setup: uv reads no pip settings; where this machine's pip has a mirror, hand it on."""
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ours = os.environ.get("UV_DEFAULT_INDEX") or done.stdout.strip()
    return {"UV_DEFAULT_INDEX": ours} if ours else {}
