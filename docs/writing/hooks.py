"""reference/hooks.md"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from mosaic_hookspecs import PROJECT, specs
from writing import DOCS
from writing.markdown import fence, page, prose
from writing.tests import test_of

#: Every hook there is, in the order of the source.
HOOKS: dict[str, Callable[..., Any]] = {
    name: spec for name, spec in vars(specs).items() if hasattr(spec, f"{PROJECT}_spec")
}


def hooks() -> str:
    parts = [
        "# Hooks",
        "A plugin is a module with some of these functions, each marked `@hookimpl` and named in the entry-point "
        "group `mosaic` of its distribution. They register; what runs later is on the objects they return.",
    ]
    for name, spec in HOOKS.items():
        file = DOCS / "examples" / "hooks" / f"{name}.py"
        example = file.read_text() if file.exists() else ""  # which a test finds
        parts += [
            f"## {name}",
            fence("python", f"{kind(spec)} {name}{inspect.signature(spec)}".replace("'", "")),
            prose(spec),
            fence("python", example),
            f"The example is run by `{example_test(name)}`.",
        ]
    return page(parts)


def example_test(hook: str) -> str:
    """The test that runs the example: it is named like the hook, or names it among others."""
    return test_of(rf'def test_{hook}\b|"{hook}"', among="tests/docs/test_hook_examples.py")


def kind(spec: Callable[..., Any]) -> str:
    return "async def" if inspect.iscoroutinefunction(spec) else "def"
