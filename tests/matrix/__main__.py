"""Try the combinations, print one table: `make matrix`, or `python -m tests.matrix --only 'pair *'`.

Exit code: 0 if each row passed or was skipped for a reason that the table gives, 1 if one failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from tests.matrix import wheels
from tests.matrix.rows import Row, rows
from tests.matrix.running import Result, run_rows

_COLOURS = {"passed": "green", "failed": "red", "skipped": "yellow"}


def main(arguments: Sequence[str]) -> int:
    """Exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument(
        "--only", action="append", metavar="PATTERN", help="rows of such a name; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--list", action="store_true", help="print the names of the rows, and try none")
    options = parser.parse_args(arguments)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mosaic-wheels-") as directory:
        built = wheels.build(Path(directory))
        chosen = [row for row in rows(plugins_of(built)) if _named(row, options.only)]
        if options.list:
            print(*(row.name for row in chosen), sep="\n")
            return 0
        results = run_rows(chosen, built, _say)
    _print(results, time.monotonic() - start, as_json=options.json)
    return int(any(result.word == "failed" for result in results) or not results)


def _say(result: Result) -> None:
    """Of those to come, one hears while waiting."""
    print(f"{result.word:8} {result.row.name}  {result.seconds:.1f} s", file=sys.stderr, flush=True)


def plugins_of(built: dict[str, wheels.Wheel]) -> list[str]:
    """All but the tiers: those are chosen, and not combined."""
    names = (name for wheel in built.values() for name in wheel.plugins)
    return sorted(name for name in names if not name.startswith("tier_"))


def _named(row: Row, patterns: Sequence[str] | None) -> bool:
    return not patterns or any(fnmatchcase(row.name, pattern) for pattern in patterns)


def _print(results: Sequence[Result], seconds: float, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([_record(result) for result in results], indent=2))
        return
    table = Table("row", "python", "resolution", "plugins", "result", "s", box=box.SIMPLE_HEAD)
    for result in results:
        record = _record(result)
        colour = _COLOURS[result.word]
        word = f"[{colour}]{result.word}[/]" + (f": {result.why}" if result.word == "skipped" else "")
        table.add_row(
            *(record[key] for key in ("row", "python", "resolution")), " ".join(record["plugins"]), word,
            f"{result.seconds:.1f}",
        )  # fmt: skip
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for result in results:
        if result.word == "failed":
            console.print(f"\n[red]{result.row.name}[/]", highlight=False)
            console.print(result.why, markup=False, highlight=False)
    counts = {word: sum(result.word == word for result in results) for word in _COLOURS}
    words = ", ".join(f"{number} {word}" for word, number in counts.items() if number)
    used = getrusage(RUSAGE_CHILDREN)
    print(f"{words} in {seconds:.0f} s, with {used.ru_utime + used.ru_stime:.0f} s of processor time")


def _record(result: Result) -> dict[str, Any]:
    row = result.row
    tier = [f"tier_{row.tier}"] if row.tier else []
    return {
        "row": row.name, "python": row.python, "resolution": row.resolution, "plugins": [*tier, *row.plugins],
        "idle": list(row.idle), "result": result.word, "why": result.why, "seconds": round(result.seconds, 1),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
