"""reference/contracts.md"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from mosaic_gateway.testing.check import suite_objects, suite_services
from mosaic_hookspecs import testing
from writing.markdown import page, prose, table
from writing.tests import ROOT

CONTRACTS: dict[str, type] = {
    name: getattr(testing, name) for name in testing.__all__ if name.endswith("Contract")
}


def contracts() -> str:
    parts = [
        "# Contract suites",
        "What every implementation of a protocol has to do, as classes of tests in `mosaic_hookspecs.testing`: inherit "
        "from one and give it its fixtures. They need `pip install 'mosaic-gateway[testing]'` and pytest-asyncio's "
        "auto mode. [`mosaic plugins check`](../how-to/check-a-plugin.md) runs them over an installed plugin.",
    ]
    for name, suite in CONTRACTS.items():
        parts += [
            f"## {name}",
            f"For what [`{_hook(suite)}`](hooks.md) returns.",
            prose(suite),
            table(["rule", "more"], _rules(suite)),
            f"Ours that keep it: {', '.join(_used(name))}.",
        ]
    return page(parts)


def _hook(suite: type) -> str:
    offered = (*vars(suite_objects).values(), *vars(suite_services).values())
    return next(each.hook for each in offered if inspect.isclass(each) and suite in each.__bases__)


def _rules(suite: type) -> Iterator[list[str]]:
    for name, rule in vars(suite).items():
        if name.startswith("test_"):
            yield [name.removeprefix("test_").replace("_", " "), _more(rule)]


def _more(rule: Any) -> str:
    kinds = [
        str(kind)
        for mark in getattr(rule, "pytestmark", ())
        for kind in mark.kwargs.get("ids") or mark.args[1]
    ]
    short = kinds if all(len(kind) < 40 and kind.isprintable() for kind in kinds) else []
    return " ".join(filter(None, (prose(rule), f"For each of: {', '.join(short)}." if short else "")))


def _used(name: str) -> list[str]:
    tests = sorted({*ROOT.glob("plugins/*/tests/test_*.py"), *ROOT.glob("docs/examples/**/test_*.py")})
    return [f"`{path.relative_to(ROOT).as_posix()}`" for path in tests if f"({name})" in path.read_text()]
