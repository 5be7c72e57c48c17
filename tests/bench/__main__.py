"""Run every bench, print one table: `make bench`, or `python -m tests.bench NAME…` for some of them.

A bench is a module here that has `async def measure() -> list[Row]`. ``--json FILE`` keeps the results there, in the
place of earlier ones of the same names.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.table import Table
from tests.bench import Row


def benches(names: list[str]) -> Iterator[tuple[str, ModuleType]]:
    here = sorted(p.stem for p in Path(__file__).parent.glob("[!_]*.py"))
    for name in names or here:
        module = importlib.import_module(f"tests.bench.{name}")
        if names or hasattr(module, "measure"):
            yield name, module


def keep(file: Path, bench: str, rows: list[Row]) -> None:
    """Put them in the place of rows of the same names."""
    results = json.loads(file.read_text()) if file.exists() else {}
    rows_by_name = {row["what"]: row for row in [*results.get(bench, []), *map(asdict, rows)]}
    results[bench] = list(rows_by_name.values())
    file.write_text(json.dumps(dict(sorted(results.items())), ensure_ascii=False, indent=1) + "\n")


def main() -> None:
    parser = ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    table = Table("what", "ours", "plain", "ours ÷ plain")
    for name, bench in benches(given.names):
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        rows = asyncio.run(bench.measure())
        if given.json:
            keep(given.json, name, rows)
        for row in rows:
            ratio = f"{row.ours / row.plain:.2f}" if row.plain else ""
            table.add_row(row.what, f"{row.ours:,.1f} {row.unit}", f"{row.plain:,.1f} {row.unit}", ratio)
    Console().print(table)


if __name__ == "__main__":
    main()
