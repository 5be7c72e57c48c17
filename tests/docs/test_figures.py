"""The pictures and the table of what was measured are those of the results that lie beside them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from tests.bench import Row
from tests.bench.__main__ import keep
from tests.bench.plot import FIGURES, GROUPS, PAGE, Shown, drawn, grown, written

RESULTS = json.loads((FIGURES / "results.json").read_text())
SHOWN = [shown for each in GROUPS.values() for shown in each]


def test_pictures_are_drawn_from_the_results() -> None:
    pictures = dict(drawn(RESULTS))
    assert {path.name for path in pictures} == {"ratios.svg", "growth.svg"}
    for path, text in pictures.items():
        assert path.read_text() == text, "after a change: .venv/bin/python -m tests.bench.plot"
        assert ET.fromstring(text).get("role") == "img"


def test_the_table_is_that_of_the_results() -> None:
    page = PAGE.read_text()
    assert written(page, RESULTS) == page, "after a change: .venv/bin/python -m tests.bench.plot"
    assert written(page, {}) != page


@pytest.mark.parametrize(
    "shown", [one for one in SHOWN if one.bench in RESULTS], ids=lambda shown: shown.what
)
def test_every_bar_has_its_measure(shown: Shown) -> None:
    assert any(shown.is_of(row["what"]) for row in RESULTS[shown.bench]), (
        "no bench has such a row: is it renamed?"
    )


def test_growth_is_shown_of_rows_and_of_grants() -> None:
    assert {"rows", "grants"} <= set(grown(RESULTS))


def test_a_bar_is_as_long_as_ours_is_fast() -> None:
    [faster] = [shown for shown in SHOWN if shown.what == "gateway, throughput | uvicorn, bare"]
    [later] = [
        shown for shown in SHOWN if shown.what == "own rows beside 16 peers, one silent, p99 | all alive"
    ]
    row = {"what": "", "unit": "", "ours": 50.0, "plain": 100.0}
    assert (faster.ratio(row), later.ratio(row)) == (0.5, 2.0)


def test_a_part_that_is_measured_anew_replaces_its_own_rows_alone(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    keep(file, "search", [Row("a", "/s", 1.0, 2.0), Row("b", "/s", 1.0, 2.0)])
    keep(file, "growth", [Row("a", "/s", 5.0, 2.0)])
    keep(file, "search", [Row("b", "/s", 9.0, 2.0)])
    results = json.loads(file.read_text())
    assert {bench: {row["what"]: row["ours"] for row in rows} for bench, rows in results.items()} == {
        "growth": {"a": 5.0},
        "search": {"a": 1.0, "b": 9.0},
    }
