"""Peers that ask us are up: one that was left alone, because it could not be reached, is asked again at once."""

from __future__ import annotations

import asyncio
import logging
import time

from mosaic_federation.peers import Peers
from mosaic_hookspecs.protocols import Host

log = logging.getLogger("mosaic.federation")

_EVERY = 10.0  # seconds between two looks at one peer's record: it is asked on each request
_MOST = 10_000  # names


class Arrivals:
    """Notes who asks; costs a look into a dictionary."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._next: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def note(self, peer: str) -> None:
        """A request of this peer has been admitted."""
        now = time.monotonic()
        if now < self._next.get(peer, 0.0):
            return
        if len(self._next) >= _MOST:
            self._next.clear()
        self._next[peer] = now + _EVERY
        task = asyncio.create_task(self._tell(peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, peer: str) -> None:
        try:
            await Peers(self._host.database).came(peer)
        except Exception as error:  # then it is asked again when its pause is over
            log.debug("the record of peer %s was not looked at: %s", peer, error)
