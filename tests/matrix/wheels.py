"""Every member as a wheel, built once, and what the wheels say of themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from configparser import ConfigParser
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
CORE = ("mosaic-gateway", "mosaic-hookspecs", "mosaic-migrations")


@dataclass(frozen=True)
class Wheel:
    """One distribution of ours."""

    path: Path
    name: str
    requires: Sequence[Requirement]
    plugins: Sequence[str]  # entry points of the group ``mosaic``

    def needed(self, extra: str = "") -> list[Requirement]:
        """What it depends on with this extra, on this platform."""
        return [r for r in self.requires if r.marker is None or r.marker.evaluate({"extra": extra})]


def build(directory: Path) -> dict[str, Wheel]:
    """Build all of them there. By distribution."""
    command: list[str | Path] = [
        UV,
        "build",
        "--wheel",
        "--all-packages",
        "--no-build-isolation",
        "--python",
        sys.executable,
    ]
    done = subprocess.run(
        [*command, "--out-dir", directory, "--quiet"],
        cwd=ROOT, env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"the wheels cannot be built:\n{done.stderr}")
    wheels = (_read(path) for path in sorted(directory.glob("*.whl")))
    return {wheel.name: wheel for wheel in wheels}


def closure(wheels: Mapping[str, Wheel], names: Iterable[str]) -> list[Wheel]:
    """These distributions and those of ours that they need."""
    found: dict[str, Wheel] = {}
    left = list(names)
    while left:
        name = left.pop()
        if name in wheels and name not in found:
            found[name] = wheels[name]
            left += [need.name for need in wheels[name].needed()]
    return list(found.values())


def _read(path: Path) -> Wheel:
    with ZipFile(path) as archive:
        info = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(info).decode())
        points = ConfigParser(delimiters="=")
        offered = info.replace("METADATA", "entry_points.txt")
        if offered in archive.namelist():
            points.read_string(archive.read(offered).decode())
    requires = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    plugins = points.options("mosaic") if points.has_section("mosaic") else []
    return Wheel(path, metadata["Name"], requires, plugins)
