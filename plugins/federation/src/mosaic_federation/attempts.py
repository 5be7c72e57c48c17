"""What is on record of the use of enrollment URLs, by anyone: who merely looked, too, but never without bound."""

from __future__ import annotations

import logging
import time
from typing import Any, Literal

from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.tracing import trace_id
from mosaic_hookspecs.types import AuditEvent, Rate

log = logging.getLogger("mosaic.federation")

# Whoever has a URL, or guesses, decides how often this is written: so what changed nothing is on record only
# within these rates, about 500 bytes each. The first rows tell the admin all that the later ones would.
_OF_ONE_URL = Rate("enrollment-record", limit=20, period=3600)
_UNKNOWN = Rate("enrollment-unknown", limit=60, period=3600)  # for the whole gateway


class Attempt:
    """One use of a URL. ``hashed`` is all that is kept of its token."""

    def __init__(self, host: Host, hashed: bytes, verb: Literal["offer", "enroll"], request_id: str) -> None:
        self._host = host
        self.hashed = hashed
        self._verb: Literal["offer", "enroll"] = verb
        self._request_id = request_id
        self._started = time.perf_counter_ns()
        self._went_well = False

    async def unknown(self) -> None:
        """The token is none of ours. Raises :class:`Unavailable`."""
        if (await self._host.limiter().take("", _UNKNOWN)).allowed:
            await self._record({}, "not-found", "")
            log.warning("somebody tried an enrollment URL that is not known here")

    async def unchanged(self, row: Any, outcome: str) -> None:
        """It was looked at, or refused. Raises :class:`Unavailable`."""
        if self._went_well or (await self._host.limiter().take(self.hashed.hex(), _OF_ONE_URL)).allowed:
            await self._record(row, outcome, "")

    async def changed(self, row: Any, outcome: str, serial: str) -> None:
        """The grant is another than before, or is about to be: always on record, as is what then stops it.

        Raises :class:`Unavailable`.
        """
        self._went_well = True
        await self._record(row, outcome, serial)

    async def _record(self, row: Any, outcome: str, serial: str) -> None:
        event = AuditEvent(
            peer=row.get("peer_name", ""),
            grant_id=row.get("grant_id"),
            subject_id=row.get("subject_id"),
            serial=serial,
            verb=self._verb,
            resource="",
            query_hash=self.hashed.hex(),
            outcome=outcome,
            rows=0,
            bytes_out=0,
            latency_us=(time.perf_counter_ns() - self._started) // 1000,
            request_id=self._request_id,
            trace_id=trace_id(),
        )
        await self._host.audit().record(event)
