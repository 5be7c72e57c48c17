"""Spans of a trace, as lines of JSON of the logger ``mosaic.spans`` at level debug. No content, no query."""

from __future__ import annotations

import json
import logging

from mosaic_hookspecs.tracing import Trace
from mosaic_hookspecs.types import AuditEvent

log = logging.getLogger("mosaic.spans")


def log_span(event: AuditEvent, trace: Trace) -> None:
    """Tell what was answered, or asked, as a span; its end is now."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    span = {
        "name": f"federation.{event.verb}",
        "kind": "client" if event.direction == "asked" else "server",
        "trace_id": trace.trace_id,
        "span_id": trace.span_id,
        "parent_id": trace.parent_id,
        "duration_us": event.latency_us,
        "mosaic.peer": event.peer,
        "mosaic.resource": event.resource,
        "mosaic.outcome": event.outcome,
        "mosaic.rows": event.rows,
        "request_id": event.request_id,
    }
    log.debug("%s", json.dumps(span))
