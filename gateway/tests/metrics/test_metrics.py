"""Counting, bringing together what several processes counted, and the text."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus
from pydantic import ValidationError

from mosaic_gateway.config.model import Metrics as Settings
from mosaic_gateway.metrics.counts import BUCKETS, Counts
from mosaic_gateway.metrics.sharing import Figures, shared_directory
from mosaic_gateway.metrics.text import as_text
from mosaic_gateway.serving.metrics import REFUSALS, REQUESTS, SECONDS, Tally
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.metrics import JOBS_WAITING, Metric

LEFT = Metric("mosaic_test_left_seconds", "gauge", "Left.", across="min")
OPENED = Metric("mosaic_test_open", "gauge", "Open.")

#: A process that counts as a worker does, says so, and lives until its input ends.
WORKER = """
import asyncio, sys
from mosaic_gateway.metrics.counts import Counts
from mosaic_gateway.metrics.sharing import Figures
from mosaic_gateway.serving.metrics import Tally
from mosaic_hookspecs.metrics import Metric

async def main():
    counts = Counts()
    Tally(counts, "public").count(200, None, 0.002)
    counts.watch(Metric("mosaic_test_left_seconds", "gauge", "Left.", across="min"), lambda: 10.0)
    counts.watch(Metric("mosaic_test_open", "gauge", "Open."), lambda: 4.0)
    async with Figures(counts).kept_written():
        pass
    print("written", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


async def values(figures: Figures) -> dict[str, float]:
    """Each sample of the text, as it is written."""
    text, _ = as_text(await figures.found(), "")
    lines = [line for line in text.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def test_what_a_listener_answers_is_counted_by_class_and_code() -> None:
    counts = Counts()
    tally = Tally(counts, "public")
    for status, code in ((200, None), (204, None), (404, "not-found"), (503, "unavailable"), (0, None)):
        tally.count(status, code, 0.004)
    found = await values(Figures(counts))
    assert found['mosaic_requests_total{listener="public",status="2xx"}'] == 2
    assert found['mosaic_requests_total{listener="public",status="none"}'] == 1
    assert found['mosaic_refusals_total{code="not-found",listener="public"}'] == 1
    assert found['mosaic_request_seconds_bucket{le="0.0025",listener="public"}'] == 0
    assert found['mosaic_request_seconds_bucket{le="0.005",listener="public"}'] == 5
    assert found['mosaic_request_seconds_bucket{le="+Inf",listener="public"}'] == 5
    assert found['mosaic_request_seconds_sum{listener="public"}'] == pytest.approx(0.02)


def test_a_duration_on_a_bound_is_within_it() -> None:
    counts = Counts()
    for seconds in (*BUCKETS, 100.0):
        counts.observe(SECONDS, seconds, "public")
    (found,) = counts.found()
    assert found.series["public",] == [*[1.0] * (len(BUCKETS) + 1), sum(BUCKETS) + 100]


def test_labels_stay_few_whatever_comes() -> None:
    counts = Counts()
    for number in range(10_000):
        counts.add(REFUSALS, 1, "public", f"made-up-{number}")
    (found,) = counts.found()
    assert len(found.series) <= 101
    assert sum(value for (value,) in found.series.values()) == 10_000


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
def test_the_text_is_what_parsers_of_the_library_read(accept: str) -> None:
    counts = Counts()
    Tally(counts, "public").count(200, None, 0.004)
    counts.watch(LEFT, lambda: 3600.0)
    text, content_type = as_text(counts.found(), accept)
    parse = open_metrics if "openmetrics" in content_type else prometheus
    families = {each.name: each.type for each in parse(text.decode())}
    assert families["mosaic_test_left_seconds"] == "gauge"
    assert families["mosaic_request_seconds"] == "histogram"
    assert {"mosaic_requests", "mosaic_requests_total"} & set(families)
    assert ("openmetrics" in content_type) == bool(accept)


async def test_numbers_of_workers_are_brought_together() -> None:
    counts = Counts()
    counts.watch(LEFT, lambda: 30.0)
    counts.watch(OPENED, lambda: 1.0)
    counts.add(REQUESTS, 2, "public", "2xx")
    with shared_directory():
        command = [sys.executable, "-c", WORKER]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:  # noqa: ASYNC220
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"written\n"
            figures = Figures(counts)
            alive = await values(figures)
            worker.communicate()
        dead = await values(figures)
    for found, expected in ((alive, (3, 10, 5)), (dead, (3, 30, 1))):
        requests = found['mosaic_requests_total{listener="public",status="2xx"}']
        assert (requests, found["mosaic_test_left_seconds"], found["mosaic_test_open"]) == expected


async def test_the_directory_is_private_and_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with shared_directory():
        (directory,) = tmp_path.iterdir()
        assert directory.stat().st_mode & 0o777 == 0o700
        counts = Counts()
        counts.add(REQUESTS, 1, "public", "2xx")
        async with Figures(counts).kept_written():
            pass
        (file,) = directory.iterdir()
        assert json.loads(file.read_text())[0]["name"] == "mosaic_requests"
    assert list(tmp_path.iterdir()) == []


async def test_what_is_away_has_no_figure() -> None:
    async def away() -> float:
        raise Unavailable("the queue does not answer")

    counts = Counts()
    counts.ask(JOBS_WAITING, away)
    counts.watch(OPENED, lambda: None)
    assert await values(Figures(counts)) == {}


@pytest.mark.parametrize(
    "bind",
    ["0.0.0.0:9464", "[::]:9464", "8.8.8.8:9464", "127.0.0.1:0", "127.0.0.1:99999", "127.0.0.1", "host:1"],
)
def test_figures_are_not_for_everybody(bind: str) -> None:
    with pytest.raises(ValidationError):
        Settings(bind=bind)


def test_nothing_is_bound_unless_it_is_said() -> None:
    assert Settings().address is None
    assert Settings(bind="127.0.0.1:9464").address == ("127.0.0.1", 9464)
    assert Settings(bind="[fd00::1]:9464").address == ("fd00::1", 9464)
