"""reference/metrics.md"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec

from mosaic_hookspecs import PROJECT
from mosaic_hookspecs.metrics import Metric
from writing.markdown import page, table

_OURS = ("mosaic_gateway.serving.metrics", "mosaic_gateway.metrics.own", "mosaic_hookspecs.metrics")
#: It looks for each of them in what a gateway answers.
SEEN_BY = "tests/federation/test_route_examples.py::test_every_metric_is_told"


def metrics() -> str:
    rows = [[f"`{shown(each)}`", kind(each), f"{each.help} Counted by {where}."] for each, where in every()]
    return page(
        [
            "# Metrics",
            "`GET /metrics` on the address that [`metrics.bind`](config.md) names answers in the format of Prometheus, "
            "or in OpenMetrics 1.0 to who asks for it; without `metrics.bind` there is no such listener. All workers "
            "are summed (of what has no sum, the least is told), each as it was a second ago at most.",
            "No metric names a user, a peer, a token or a row, and none has more than a hundred values of its labels. "
            "Histograms are of seconds. A metric appears when there is something to tell.",
            f"`{SEEN_BY}` finds each of them in the answer of a gateway.",
            table(["name", "kind", "meaning"], rows),
        ]
    )


def shown(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.kind == "counter" else metric.name


def kind(metric: Metric) -> str:
    labels = " and ".join(f"`{label}`" for label in metric.labels)
    return f"{metric.kind} by {labels}" if labels else metric.kind


def every() -> Iterator[tuple[Metric, str]]:
    """Each metric, and what counts it: the constants in the modules ``metrics`` of the gateway and its plugins."""
    for name in _OURS:
        yield from ((metric, "the gateway") for metric in _constants(name))
    for point in sorted(entry_points(group=PROJECT), key=lambda point: point.name):
        package = point.value.partition(".")[0]
        if find_spec(f"{package}.metrics"):
            yield from ((metric, f"plugin `{point.name}`") for metric in _constants(f"{package}.metrics"))


def _constants(module: str) -> list[Metric]:
    return [each for each in vars(import_module(module)).values() if isinstance(each, Metric)]
