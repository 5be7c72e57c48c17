"""Requests that no grant, or no limit, allows: of each address so many are on record, and the others are only counted.

The two are counted apart: a peer that asks too often must not keep another at its address from hearing that its grant
has ended. Whoever holds a certificate, good or not, could else fill the audit log with refusals: they cost no rate.
"""

from __future__ import annotations

import asyncio
import logging

from mosaic_hookspecs.errors import TooMany
from mosaic_hookspecs.gcra import Counts
from mosaic_hookspecs.types import Decision, Rate

log = logging.getLogger("mosaic.federation")

_TOLD_EVERY = 60.0  # seconds


class Strangers:
    """Counts refusals, in this process; ``most`` a minute of one address are worth a row."""

    def __init__(self, most: int) -> None:
        self._refusals = Rate("refusals", most, 60)
        self._limited = Rate("limited", most, 60)
        self._counts = Counts()
        self._unrecorded: dict[str, int] = {}  # by address, since it was last told

    def refuse_over(self, address: str) -> None:
        """Count a refusal. Raises :class:`TooMany` for one that is not worth a row of the audit log."""
        decision = self._count(address, self._refusals)
        if not decision.allowed:
            raise TooMany(
                "too many requests that no grant allows",
                retry_after=decision.retry_after,
                rate=self._refusals,
            ) from None

    def are_many(self, address: str) -> bool:
        """Count a refusal that says already that it is one of too many; return whether it is worth no row either."""
        return not self._count(address, self._limited).allowed

    def _count(self, address: str, rate: Rate) -> Decision:
        (decision,) = self._counts.take_all([(address, rate)])
        if not decision.allowed:
            if not self._unrecorded:
                asyncio.get_running_loop().call_later(_TOLD_EVERY, self._tell)
            self._unrecorded[address] = self._unrecorded.get(address, 0) + 1
        return decision

    def _tell(self) -> None:
        told, self._unrecorded = self._unrecorded, {}
        most = max(told, key=told.__getitem__)
        log.warning(
            "%d requests that no grant, or no limit, allows, from %d address(es), are not in the audit log; "
            "%d of them from %s",
            *(sum(told.values()), len(told), told[most], most),
        )
