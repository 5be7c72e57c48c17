"""What this gateway asked of its peers, on its own record: the other half of what they have on record of it.

The row is there before anybody here is shown the answer. An answer that was kept is no question, and makes no row.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import cast, get_args
from uuid import uuid4

from mosaic_federation.peers import Peer
from mosaic_federation.spans import log_span
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.tracing import current_trace
from mosaic_hookspecs.types import AuditEvent, PeerVerb

NO_ANSWER = "no-answer"  # it may have been asked, or not
UNREADABLE = "unreadable"  # it answered what is no answer

#: Verbs whose questions begin with their own name, where others name a resource.
OF_NO_RESOURCE = set(get_args(PeerVerb)) - {"list", "get", "search", "other"}

_LONGEST_NAME = 63  # characters
_NOT_A_NAME = re.compile(r"[^a-z0-9_]")


@lru_cache(maxsize=64)
def name_on_record(resource: str) -> str:
    """What a resource is called in the audit log: what somebody names ends on an admin's terminal."""
    return _NOT_A_NAME.sub("?", resource[:_LONGEST_NAME])


class Asking:
    """One question, from when it leaves until what came of it is on record."""

    def __init__(self, host: Host, peer: Peer, steps: Sequence[str], query: str, request_id: str) -> None:
        self._host = host
        self._peer = peer
        self._verb, self._resource, asked = _as_the_peer_has_it(steps, query)
        self._query_hash = sha256(asked.encode()).hexdigest()
        self._request_id = request_id or uuid4().hex
        self._trace = current_trace().child()
        self._started = time.perf_counter_ns()

    @property
    def headers(self) -> dict[str, str]:
        """What the peer is told beside the question, so that both records can be joined."""
        return {"X-Request-ID": self._request_id, "traceparent": self._trace.header}

    async def record(self, outcome: str, *, rows: int = 0, size: int = 0) -> None:
        """Return once it is on record; ``size`` is that of the answer, bytes. Raises :class:`Unavailable`."""
        event = AuditEvent(
            peer=self._peer.name,
            grant_id=self._peer.grant_id,
            subject_id=self._peer.subject_id,
            serial=self._peer.serial,
            verb=self._verb,
            resource=self._resource,
            query_hash=self._query_hash,
            outcome=outcome,
            rows=rows,
            bytes_out=size,
            latency_us=(time.perf_counter_ns() - self._started) // 1000,
            request_id=self._request_id,
            trace_id=self._trace.trace_id,
            direction="asked",
        )
        await self._host.audit().record(event)
        log_span(event, self._trace)


def _as_the_peer_has_it(steps: Sequence[str], query: str) -> tuple[PeerVerb, str, str]:
    """Verb, resource, and what the hash is of."""
    first = steps[0]
    if first in OF_NO_RESOURCE:
        return cast(PeerVerb, first), "", query
    name = name_on_record(first)
    if len(steps) == 1:
        return "list", name, query
    return ("search", name, query) if steps[1] == "search" else ("get", name, steps[1])
