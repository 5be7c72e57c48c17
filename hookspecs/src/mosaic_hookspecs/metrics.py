"""What is counted for `/metrics`. A package keeps its :class:`Metric` constants in a module ``metrics``.

A name ends in its unit, in seconds or bytes where there is one. A label has a few values that are known in advance:
never a user, a token, a peer, or anything of a row.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(
    frozen=True, slots=True, eq=False
)  # looked up at each count: compared as an object, not field by field
class Metric:
    """A counter (whose name gets ``_total``), a gauge, or a histogram of seconds."""

    name: str  # with the prefix mosaic_
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    across: Literal["sum", "min"] = "sum"  # what a gauge of several processes is


class Metrics(Protocol):
    """What plugins count with. It costs less than a microsecond a call, whether anybody looks or not."""

    def add(self, metric: Metric, amount: float = 1, *labels: str) -> None:
        """Count on. ``labels`` are the values, in the order of the metric's labels."""
        ...

    def observe(self, metric: Metric, seconds: float, *labels: str) -> None:
        """Put one duration into a histogram."""
        ...

    def watch(self, metric: Metric, read: Callable[[], float | None], *labels: str) -> None:
        """A gauge of this process, read when it is wanted; None: it has no value now. The latest ``read`` counts."""
        ...

    def ask(self, metric: Metric, read: Callable[[], Awaitable[float | None]]) -> None:
        """A gauge of the gateway as a whole, asked by the one process that is asked for it; None: no value."""
        ...


#: For every queue: a gauge to be asked.
JOBS_WAITING = Metric("mosaic_jobs_waiting", "gauge", "Jobs that have not been run, or not yet with success.")
