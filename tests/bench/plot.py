"""Draw what was measured: ``python -m tests.bench.plot`` writes pictures and table of docs/explanation/scaling.md.

They follow from docs/explanation/figures/results.json, which ``make figures`` measures anew.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench._svg import Bar, bars, lines

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "scaling.md"
FIGURES = PAGE.parent / "figures"
BEGIN, END = "<!-- measured: written by tests/bench/plot.py -->", "<!-- measured -->"

Row = Mapping[str, Any]
Results = Mapping[str, Sequence[Row]]  # what `python -m tests.bench --json` writes


@dataclass(frozen=True)
class Shown:
    """A row of a bench that is shown; with ``…`` in its name, the slowest of several.

    A ratio is how fast ours is: of times, the other way round than in the bench.
    """

    label: str
    bench: str
    what: str
    goal: float | None = None
    times: bool = False

    def is_of(self, what: str) -> bool:
        """Whether it shows the row of this name."""
        start, several, end = self.what.partition("…")
        return what.startswith(start) and what.endswith(end) if several else what == start

    def ratio(self, row: Row) -> float:
        """How fast ours is."""
        return float(row["plain"] / row["ours"] if self.times else row["ours"] / row["plain"])


def _workers(suffix: str) -> list[Shown]:
    floors = (
        ("stock Hypercorn and Quart", "Hypercorn and Quart", 1.0),
        ("bare uvicorn", "uvicorn, bare", 0.6),
    )
    return [
        Shown(f"{label}{suffix}", "federated", f"gateway{suffix}, throughput | {floor}{suffix}", goal)
        for label, floor, goal in floors
    ]


def _searches(rows: int) -> list[Shown]:
    return [
        Shown(
            f"{rows:,} rows, {who}, slowest kind", "search", f"search {rows:,}, …: {who}'s against raw", 0.9
        )
        for who in ("a user", "a peer")
    ]


def _dead(number: int) -> list[Shown]:
    return [
        Shown(
            f"{number} peer{'s' * (number > 1)}, {short}", "fanout",
            f"own rows beside {number} peers, {name}, p99 | all alive", 1 / 1.1, times=True,
        )
        for short, name in (("one refuses", "one where nothing listens"), ("one silent", "one silent"))
    ]  # fmt: skip


def _beside(number: int) -> Shown:
    what = f"own rows beside {number} peers, p99 | none asked"
    return Shown(f"{number} peer{'s' * (number > 1)}", "fanout", what, 1 / 1.1, times=True)


GROUPS: Mapping[str, Sequence[Shown]] = {
    "A peer lists 50 rows, against one who checks nothing": [
        *_workers(""),
        *_workers(", 2 workers"),
        Shown("the asyncpg loop alone", "federated", "gateway, throughput | asyncpg loop"),
    ],
    "With the audit log, against without": [
        Shown("answers", "federated", "gateway, throughput | gateway, audit off", 0.95)
    ],
    "Search that is filtered for its viewer, against raw SQL": [*_searches(10**5), *_searches(10**6)],
    "Own rows' p99 beside questions to peers, against none asked": [_beside(1), _beside(4), _beside(16)],
    "Own rows' p99 beside questions to peers, against all alive": [*_dead(1), *_dead(4), *_dead(16)],
}
_GROWN = re.compile(r"([\d,]+) (.+), CPU of gateway and Postgres \| ([\d,]+) \2")
_GROWTH = 1.15  # the goal: so much more at most
_AS_MANY = re.compile(r"([\d,]+) (.+), throughput \| ([\d,]+) \2")
_FLAT = 0.85  # the goal: answers a second, at least so many


def found(results: Results, shown: Shown) -> Bar | None:
    """Its ratio; None if it was not measured."""
    ratios = [shown.ratio(row) for row in results.get(shown.bench, ()) if shown.is_of(row["what"])]
    return Bar(shown.label, min(ratios), shown.goal) if ratios else None


def grown(results: Results) -> dict[str, list[tuple[int, float]]]:
    """Of each thing that grows: its sizes, and what an answer costs against that of the smallest."""
    series: dict[str, list[tuple[int, float]]] = {}
    for row in results.get("growth", ()):
        if match := _GROWN.fullmatch(row["what"]):
            size, name, smallest = match.groups()
            points = series.setdefault(name, [(_number(smallest), 1.0)])
            points.append((_number(size), row["ours"] / row["plain"]))
    return series


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def drawn(results: Results) -> Iterator[tuple[Path, str]]:
    """Each picture's file and text."""
    groups = {
        name: [bar for shown in each if (bar := found(results, shown))] for name, each in GROUPS.items()
    }
    groups = {name: each for name, each in groups.items() if each}
    if groups:
        words = "; ".join(f"{bar.label}: {bar.ratio:.2f}" for each in groups.values() for bar in each)
        yield (
            FIGURES / "ratios.svg",
            bars(f"How fast, as a ratio. {words}.", groups, "longer is faster; | is the goal"),
        )
    if series := grown(results):
        words = "; ".join(
            f"{name}, {points[-1][0]:,}: {points[-1][1]:.2f}" for name, points in series.items()
        )
        note = "processor time of an answer, against the smallest; the band is the goal"
        yield (
            FIGURES / "growth.svg",
            lines(f"What an answer costs as things grow. {words}.", series, _GROWTH, note),
        )


def table(results: Results) -> str:
    """All rows of the benches that are shown, as Markdown."""
    lines = ["| | ours | the other | ours ÷ the other | goal |", "|---|---|---|---|---|"]
    for bench in dict.fromkeys([*(shown.bench for each in GROUPS.values() for shown in each), "growth"]):
        for row in results.get(bench, ()):
            sides = [
                f"{row[side]:,.{0 if row[side] >= 100 else 1}f} {row['unit']}" for side in ("ours", "plain")
            ]
            ratio = row["ours"] / row["plain"]
            what = row["what"].replace(" | ", ", against ")
            cells = [what, *sides, f"{ratio:.2f}", _goal(bench, row["what"], ratio)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _goal(bench: str, what: str, ratio: float) -> str:
    """The goal of a row, and whether it was missed."""
    if _GROWN.fullmatch(what):
        least, most = 0.0, _GROWTH
    elif _AS_MANY.fullmatch(what):
        least, most = _FLAT, math.inf
    else:
        each = (shown for group in GROUPS.values() for shown in group if shown.goal)
        shown = next((one for one in each if one.bench == bench and one.is_of(what)), None)
        if shown is None or shown.goal is None:
            return ""
        least, most = (0.0, 1 / shown.goal) if shown.times else (shown.goal, math.inf)
    text = f"≥ {least:g}" if least else f"≤ {most:.3g}"
    return text if least <= ratio <= most else f"{text}, missed"


def written(page: str, results: Results) -> str:
    """The page with the table of these results."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table(results)}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    results = json.loads((FIGURES / "results.json").read_text())
    for path, picture in drawn(results):
        path.write_text(picture)
    PAGE.write_text(written(PAGE.read_text(), results))


if __name__ == "__main__":
    main()
