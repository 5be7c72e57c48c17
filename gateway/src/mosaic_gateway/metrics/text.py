"""Figures as text, by prometheus_client: OpenMetrics 1.0, or Prometheus' own format, as is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from mosaic_gateway.metrics.counts import BUCKETS, Found

_BOUNDS = (*(str(bound) for bound in BUCKETS), "+Inf")


def as_text(found: Iterable[Found], accept: str) -> tuple[bytes, str]:
    """The text, and its content type. ``accept`` is the header that a client sent."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(found))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Collected(Collector):
    def __init__(self, found: Iterable[Found]) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        return map(_family, self._found)


def _family(found: Found) -> Metric:
    if found.kind == "histogram":
        histogram = HistogramMetricFamily(found.name, found.help, labels=found.labels)
        for labels, (*counts, total) in found.series.items():
            buckets = list(zip(_BOUNDS, accumulate(counts), strict=True))
            histogram.add_metric(labels, buckets, total)
        return histogram
    kind = CounterMetricFamily if found.kind == "counter" else GaugeMetricFamily
    family = kind(found.name, found.help, labels=found.labels)
    for labels, (value,) in found.series.items():
        family.add_metric(labels, value)
    return family
