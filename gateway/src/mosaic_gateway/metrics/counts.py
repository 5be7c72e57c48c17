"""Counting in one process.

By hand, in plain numbers: prometheus_client's values for several processes write to a mapped file at each count,
which costs 3 µs, and 8 µs for a histogram. It writes the text (:mod:`mosaic_gateway.metrics.text`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from mosaic_hookspecs.metrics import Metric, Metrics

#: Upper bounds of a histogram, seconds.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_MOST = 100  # values of one metric's labels; what comes then is counted together
_OTHER = "other"

Labels = tuple[str, ...]
Series = dict[Labels, list[float]]


@dataclass(slots=True)
class Found:
    """One metric with its numbers: a value, or of a histogram how many in each bucket, and their sum."""

    name: str
    kind: str
    help: str
    labels: Labels
    across: str
    series: Series = field(default_factory=dict)

    @classmethod
    def of(cls, metric: Metric) -> Found:
        """Without numbers."""
        return cls(metric.name, metric.kind, metric.help, metric.labels, metric.across)

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        facts = {name: getattr(self, name) for name in ("name", "kind", "help", "labels", "across")}
        return {**facts, "series": [[list(labels), values] for labels, values in self.series.items()]}

    @classmethod
    def read(cls, plain: dict[str, Any]) -> Found:
        """From :meth:`plain`."""
        series = {tuple(labels): values for labels, values in plain["series"]}
        return cls(**{**plain, "labels": tuple(plain["labels"]), "series": series})

    def take_in(self, other: Found) -> None:
        """Bring in the numbers of another process."""
        for labels, values in other.series.items():
            mine = self.series.get(labels)
            if mine is None:
                self.series[labels] = list(values)
            elif self.across == "min":
                self.series[labels] = [min(*pair) for pair in zip(mine, values, strict=True)]
            else:
                self.series[labels] = [sum(pair) for pair in zip(mine, values, strict=True)]


class Counts(Metrics):
    """Implements :class:`mosaic_hookspecs.metrics.Metrics`."""

    def __init__(self) -> None:
        self._sums: defaultdict[Metric, dict[Labels, float]] = defaultdict(dict)
        self._histograms: defaultdict[Metric, Series] = defaultdict(dict)
        self._watched: dict[tuple[Metric, Labels], Callable[[], float | None]] = {}
        self.asked: dict[Metric, Callable[[], Awaitable[float | None]]] = {}

    def add(self, metric: Metric, amount: float = 1, *labels: str) -> None:
        """Count on."""
        sums = self._sums[metric]
        if labels not in sums:
            labels = _bounded(labels, len(sums))
        sums[labels] = sums.get(labels, 0) + amount

    def observe(self, metric: Metric, seconds: float, *labels: str) -> None:
        """Put one duration into its bucket."""
        histograms = self._histograms[metric]
        found = histograms.get(labels)
        if found is None:
            labels = _bounded(labels, len(histograms))
            found = histograms.setdefault(labels, [0.0] * (len(BUCKETS) + 2))
        found[bisect_left(BUCKETS, seconds)] += 1
        found[-1] += seconds

    def watch(self, metric: Metric, read: Callable[[], float | None], *labels: str) -> None:
        """Have a gauge read with the rest."""
        self._watched[metric, labels] = read

    def ask(self, metric: Metric, read: Callable[[], Awaitable[float | None]]) -> None:
        """Have a gauge asked for, by who tells the figures."""
        self.asked[metric] = read

    def found(self) -> list[Found]:
        """What this process has counted, and what it watches, now."""
        every = []
        for metric, sums in self._sums.items():
            every.append(Found.of(metric))
            every[-1].series = {labels: [value] for labels, value in sums.items()}
        for metric, histograms in self._histograms.items():
            every.append(Found.of(metric))
            every[-1].series = {labels: list(values) for labels, values in histograms.items()}
        for (metric, labels), read in self._watched.items():
            if (value := read()) is not None:
                every.append(Found.of(metric))
                every[-1].series = {labels: [value]}
        return every


def _bounded(labels: Labels, already: int) -> Labels:
    return labels if already < _MOST else (_OTHER,) * len(labels)
