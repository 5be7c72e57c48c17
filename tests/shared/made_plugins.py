"""Plugins that a test makes: a module, and the metadata that an installer would have left beside it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

HEAD = "from mosaic_hookspecs import hookimpl\n"


def make_plugin(
    folder: Path,
    name: str,
    source: str = "",
    *,
    requires: str = "mosaic-hookspecs",
    distribution: str = "",
    command: str = "",
) -> str:
    """Put plugin ``name`` into ``folder``, which the test then has on ``sys.path``; return its module's name."""
    distribution = distribution or f"made-{name.replace('_', '-')}"
    module = f"made_{name}"
    (folder / f"{module}.py").write_text(HEAD + dedent(source))
    about = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    about.mkdir()
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n{needs}")
    commands = f"[mosaic.commands]\n{command} = {module}:command\n" if command else ""
    (about / "entry_points.txt").write_text(f"[mosaic]\n{name} = {module}\n{commands}")
    return module
