"""How grants stand, as read at most a second ago: most requests come for one that was just read.

Every change of a grant, its certificate or its subject is told by the table itself (migration 0020) and forgets it at
once in every process. The second bounds what a process that hears nothing may still accept, and nothing is kept
while it is known not to hear.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from mosaic_federation.brief import Brief
from mosaic_federation.oids import Claims
from mosaic_federation.reasons import Refusal
from mosaic_federation.standing import Standing
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.protocols import Database, Host
from mosaic_hookspecs.sql import load_queries

if TYPE_CHECKING:
    from mosaic_federation.gate import Admitted

log = logging.getLogger(__name__)

KEPT = 1.0  # seconds
_AGAIN = 0.5  # seconds before listening is tried again
_CHANNEL = "federation_grants"  # of Postgres; a message is a grant's id, or nothing for all

_sql = load_queries("mosaic_federation", "queries.sql")


class Standings:
    """Standings by grant."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: Brief[UUID, Standing] = Brief()
        self._refusals: Brief[Claims, Refusal] = Brief()  # claims hold the key: of another nothing is told
        self._admitted: Brief[bytes, Admitted] = Brief()  # by certificate, DER
        self._hearing = False
        self._news = 0  # how often something was forgotten
        self._listening: asyncio.Task[None] | None = None

    def kept(self, grant_id: UUID) -> Standing | None:
        """The grant as it was at most a second ago, if it was read then."""
        return self._kept.get(grant_id)

    async def read(self, grant_id: UUID) -> Standing | None:
        """The grant as it is, None if there is none. Raises :class:`Unavailable`."""
        if self._listening is None:  # only now: most commands ask for none
            self._listening = asyncio.create_task(self._keep_listening())
        asked, hearing, news = time.monotonic(), self._hearing, self._news
        row = await self._database.fetchrow(_sql.admission, grant_id)
        if row is None:
            return None
        standing = Standing.of(row)
        if hearing and news == self._news:  # else it may be older than the news
            self._kept.keep(grant_id, standing, asked + KEPT)
        return standing

    def admitted(self, certificate: bytes) -> Admitted | None:
        """Who was let in with this certificate by a grant that is still kept; whether it is in time is not asked."""
        return self._admitted.get(certificate)

    def keep_admitted(self, certificate: bytes, standing: Standing, admitted: Admitted) -> None:
        """Keep what follows from ``standing`` for as long as that is kept, if it is."""
        until, kept = self._kept.entry(standing.grant_id)
        if kept is standing:
            self._admitted.keep(certificate, admitted, until)

    def refusal(self, claims: Claims) -> Refusal | None:
        """Why this certificate was refused, at most a second ago."""
        return self._refusals.get(claims)

    @property
    def news(self) -> int | None:
        """Another number whenever something may have changed; None while that would not be heard."""
        return self._news if self._hearing else None

    def keep_refusal(self, claims: Claims, refusal: Refusal, news: int | None) -> None:
        """Keep what was found since ``news``, unless there are others by now."""
        if news is not None and news == self.news:
            self._refusals.keep(claims, refusal, time.monotonic() + KEPT)

    async def close(self) -> None:
        """Stop listening."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    async def _keep_listening(self) -> None:
        while True:
            try:
                async with self._database.listen(_CHANNEL) as messages:
                    self._hearing = True
                    async for message in messages:
                        self._forget(message)
            except Exception as error:  # whatever it is, it is not heard for good otherwise
                why = error.detail if isinstance(error, Unavailable) else type(error).__name__
                log.warning("grants are read at each request for now: %s", why)
            finally:
                self._hearing = False
                self._forget("")
            await asyncio.sleep(_AGAIN)

    def forget(self, grant_id: UUID) -> None:
        """It was changed here: its news would come a moment later."""
        self._forget(str(grant_id))

    def _forget(self, grant_id: str) -> None:
        self._news += 1
        self._refusals.clear()
        self._admitted.clear()
        if grant_id:
            self._kept.forget(UUID(grant_id))
        else:
            self._kept.clear()


# Told by the gateway's pool, as links are: the lifespan opens and closes a place, the gate uses it.
_open: dict[Database, Standings] = {}


@asynccontextmanager
async def open_standings(host: Host) -> AsyncIterator[None]:
    """Let :func:`standings_of` keep what it reads for as long as the context is entered."""
    _open[host.database] = standings = Standings(host.database)
    try:
        yield
    finally:
        del _open[host.database]
        await standings.close()


def is_up(host: Host) -> bool:
    """Whether the gateway is, with all its services: else a command looks at it from outside."""
    return host.database in _open


def standings_of(host: Host) -> Standings:
    """Those of the gateway that ``host`` is."""
    return _open[host.database]


async def standing_of(host: Host, grant_id: UUID, *, afresh: bool = False) -> Standing | None:
    """How a grant stood at most a second ago, or, ``afresh``, stands now. None: there is none.

    Raises :class:`Unavailable`.
    """
    standings = standings_of(host)
    kept = None if afresh else standings.kept(grant_id)
    return kept or await standings.read(grant_id)


def forget_standing(host: Host, grant_id: UUID) -> None:
    """Have the next request in this process read the grant anew; the others hear of it from the table."""
    standings = _open.get(host.database)
    if standings is not None:
        standings.forget(grant_id)
