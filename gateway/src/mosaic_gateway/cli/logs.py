"""Logging of a gateway that serves: standard error, one line each, nothing secret."""

from __future__ import annotations

import logging

from mosaic_gateway.cli.shell import printable_lines
from mosaic_hookspecs.redaction import RedactingFilter
from mosaic_hookspecs.tracing import trace_id


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


class _Traced(logging.Filter):
    """Which request a line is about."""

    def filter(self, record: logging.LogRecord) -> bool:
        found = trace_id()
        record.trace = f" (trace {found})" if found else ""
        return True


def log_to_stderr(level: str) -> None:
    """Configure the root logger; ``level`` is a name such as ``info``."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s%(trace)s"))
    handler.addFilter(_Traced())
    handler.addFilter(RedactingFilter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.getLogger("mosaic").debug("logging at level %s", level)


def redact_last_resort() -> None:
    """Of commands that configure no logging: Python writes their warnings to standard error, as they are."""
    if logging.lastResort:
        logging.lastResort.addFilter(RedactingFilter())
        logging.lastResort.setFormatter(_Formatter())
