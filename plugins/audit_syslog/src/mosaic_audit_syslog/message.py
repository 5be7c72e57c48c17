"""An audit event as one message of RFC 5424. By hand: it is one line, and the libraries only wrap `logging`."""

from __future__ import annotations

import os
import re
import socket
from datetime import datetime

from mosaic_hookspecs.types import AuditEvent

_PRIORITY = {
    True: 13 * 8 + 6,
    False: 13 * 8 + 4,
}  # facility 13, log audit; informational, or warning: a refusal
_DATA_ID = (
    "mosaic@99999"  # section 7.2.2: a private name; the same as `mosaic audit export --format syslog` has
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LONGEST = 300  # bytes of a text that a peer chose: the whole stays under 2,048, which every receiver takes


def message(event: AuditEvent, gateway: str, at: datetime) -> bytes:
    """All of the event as structured data; what peers choose comes last."""
    fields = {
        "gateway": gateway,
        "request_id": event.request_id,
        "trace_id": event.trace_id,
        "direction": event.direction,
        "grant_id": event.grant_id,
        "subject_id": event.subject_id,
        "serial": event.serial,
        "verb": event.verb,
        "outcome": event.outcome,
        "rows": event.rows,
        "bytes_out": event.bytes_out,
        "latency_us": event.latency_us,
        "query_hash": event.query_hash,
        "peer": event.peer,
        "resource": event.resource,
    }
    data = " ".join(
        f'{name}="{_escaped(value)}"' for name, value in fields.items() if value not in (None, "")
    )
    when = at.isoformat(timespec="microseconds").replace("+00:00", "Z")
    start = f"<{_PRIORITY[event.outcome == 'ok']}>1 {when} {socket.gethostname()} mosaic {os.getpid()}"
    return f"{start} {event.verb} [{_DATA_ID} {data}]".encode()


def _escaped(value: object) -> str:
    text = _CONTROL.sub(" ", str(value)).encode(errors="replace")[:_LONGEST].decode(errors="ignore")
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")
