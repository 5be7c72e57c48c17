"""Run every bench, print one table: `make bench`, or `python -m tests.bench NAME…` for some of them.

A bench is a module here that has `async def measure() -> list[Row]`.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.table import Table


def benches(names: list[str]) -> Iterator[ModuleType]:
    here = sorted(p.stem for p in Path(__file__).parent.glob("[!_]*.py"))
    for name in names or here:
        module = importlib.import_module(f"tests.bench.{name}")
        if names or hasattr(module, "measure"):
            yield module


def main(names: list[str]) -> None:
    table = Table("what", "ours", "plain", "ours ÷ plain")
    for bench in benches(names):
        print(f"measuring {bench.__name__} …", file=sys.stderr, flush=True)
        for row in asyncio.run(bench.measure()):
            ratio = f"{row.ours / row.plain:.2f}" if row.plain else ""
            table.add_row(row.what, f"{row.ours:,.1f} {row.unit}", f"{row.plain:,.1f} {row.unit}", ratio)
    Console().print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
