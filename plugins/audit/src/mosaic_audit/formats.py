"""Rows as other systems read them: CEF, and RFC 5424 syslog. By hand: each is one line and its escapes."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

Format = Callable[[Mapping[str, Any]], str]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SEVERITY = {True: 1, False: 5}  # of CEF: 0 to 10; of an answer, and of a refusal
_PRIORITY = {
    True: 13 * 8 + 6,
    False: 13 * 8 + 4,
}  # of syslog: facility 13 (log audit); informational, warning
_ENTERPRISE = "mosaic@99999"  # structured data of RFC 5424, section 7.2.2: a private name


def cef(row: Mapping[str, Any]) -> str:
    """ArcSight Common Event Format, version 0 (Implementing CEF, revision 25)."""
    header = ("Mosaic", "Gateway", version("mosaic-audit"), row["verb"], f"peer {row['verb']}")
    fields = {
        "rt": int(row["at"].timestamp() * 1000),
        "suser": row["peer"],
        "suid": row["subject_id"] or "",
        "act": row["verb"],
        "request": row["resource"],
        "outcome": row["outcome"],
        "cnt": row["rows"],
        "deviceDirection": int(row["direction"] == "asked"),  # 0 inbound, 1 outbound
        "out": row["bytes_out"],
        "externalId": f"{row['stream']}/{row['seq']}",
        **_custom(grant=row["grant_id"] or "", serial=row["serial"], query=row["query_hash"]),
        "cs4Label": "request",
        "cs4": row["request_id"],
        "cs5Label": "trace",
        "cs5": row["trace_id"],
        "cn1Label": "latency_us",
        "cn1": row["latency_us"],
        "cs6Label": "hash",
        "cs6": row["hash"].hex(),
    }
    start = "|".join(_clean(part).replace("\\", "\\\\").replace("|", "\\|") for part in header)
    extension = " ".join(f"{name}={_cef_value(value)}" for name, value in fields.items() if value != "")
    return f"CEF:0|{start}|{_SEVERITY[row['outcome'] == 'ok']}|{extension}\n"


def syslog(row: Mapping[str, Any]) -> str:
    """RFC 5424, one message a line, all of the row in its structured data."""
    fields = {key: value for key, value in row.items() if key not in ("payload", "prev", "at")}
    data = " ".join(f'{name}="{_syslog_value(value)}"' for name, value in fields.items() if value is not None)
    at = row["at"].isoformat(timespec="microseconds").replace("+00:00", "Z")
    start = f"<{_PRIORITY[row['outcome'] == 'ok']}>1 {at} {socket.gethostname()} mosaic - {row['verb']}"
    return f"{start} [{_ENTERPRISE} {data}]\n"


FORMATS: Mapping[str, Format] = {"cef": cef, "syslog": syslog}


def _custom(**fields: Any) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for number, (label, value) in enumerate(fields.items(), 1):
        named |= {f"cs{number}Label": label, f"cs{number}": value}
    return named


def _cef_value(value: Any) -> str:
    return _clean(value).replace("\\", "\\\\").replace("=", "\\=")


def _syslog_value(value: Any) -> str:
    text = value.hex() if isinstance(value, bytes) else _clean(value)
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _clean(value: Any) -> str:
    return _CONTROL.sub(" ", str(value))
