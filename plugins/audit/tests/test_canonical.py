"""The spelling of a row is that of the releases before, to the byte: what they wrote is verified with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from asyncpg.pgproto.pgproto import UUID as PostgresUUID  # what a row that was read holds
from hypothesis import given
from hypothesis import strategies as st

from mosaic_audit.chain import ADDED, Chain, canonical
from mosaic_hookspecs.types import AuditEvent

KEYS = sorted({"stream", "seq", "at", *(field.name for field in fields(AuditEvent))})
TIMES = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))]))
UUIDS = st.uuids() | st.uuids().map(lambda one: PostgresUUID(str(one)))
VALUES = st.text() | st.sampled_from(["\ud800", "\0\x7f\u2028", '"\\/'])
VALUES |= st.none() | st.booleans() | st.integers() | st.floats() | UUIDS | TIMES
ROWS = st.fixed_dictionaries(dict.fromkeys(KEYS, VALUES))


def plainly(row: Mapping[str, Any], keys: list[str]) -> str:
    """As release 0.1 did it."""

    def plain(value: Any) -> Any:
        if isinstance(value, datetime):
            return value.isoformat(timespec="microseconds")
        return str(value) if isinstance(value, UUID) else value

    content = {key: plain(row[key]) for key in keys}
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@given(ROWS)
def test_a_row_is_spelled_as_it_always_was(row: dict[str, Any]) -> None:
    assert canonical(row) == plainly(row, KEYS)
    before = [key for key in KEYS if key not in ADDED]
    assert canonical(row, before) == plainly(row, before)


TEXTS = st.text() | st.sampled_from(["\ud800", "\0\x7f\u2028", '"\\/', "%s"])
COUNTS = st.integers(0, 2**63 - 1)
EVENTS = st.builds(
    AuditEvent,
    **dict.fromkeys(["peer", "serial", "verb", "resource", "query_hash", "outcome", "request_id"], TEXTS),
    **dict.fromkeys(["trace_id", "direction"], TEXTS),
    **dict.fromkeys(["grant_id", "subject_id"], st.none() | UUIDS),
    **dict.fromkeys(["rows", "bytes_out", "latency_us"], COUNTS),
)


@given(EVENTS, st.datetimes(timezones=st.just(UTC)))
def test_what_is_written_is_spelled_as_what_is_read(event: AuditEvent, at: datetime) -> None:
    chain = Chain.new()
    entry = chain.append(event, at)
    said = {field.name: getattr(event, field.name) for field in fields(AuditEvent)}
    assert entry.payload == plainly({"stream": chain.stream, "seq": 1, "at": at, **said}, KEYS)
