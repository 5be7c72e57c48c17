"""What is counted of each request, whatever speaks HTTP and whatever answers."""

from __future__ import annotations

from mosaic_hookspecs.metrics import Metric, Metrics

REQUESTS = Metric(
    "mosaic_requests",
    "counter",
    "Requests answered, by listener and class of status; none: the client was gone.",
    ("listener", "status"),
)
SECONDS = Metric(
    "mosaic_request_seconds", "histogram", "From a request's head to its whole answer.", ("listener",)
)
REFUSALS = Metric(
    "mosaic_refusals", "counter", "Answers that were problems, by listener and code.", ("listener", "code")
)

_CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")


class Tally:
    """Of one listener."""

    def __init__(self, metrics: Metrics, listener: str) -> None:
        self._metrics = metrics
        self._listener = listener

    def count(self, status: int, code: str | None, seconds: float) -> None:
        """One request. ``status`` is 0 for one that was not answered, ``code`` that of its problem."""
        self._metrics.add(REQUESTS, 1, self._listener, _CLASSES[status // 100])
        self._metrics.observe(SECONDS, seconds, self._listener)
        if code:
            self._metrics.add(REFUSALS, 1, self._listener, code)
