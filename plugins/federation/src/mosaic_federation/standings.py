"""How grants stand, as read at most a second ago: most requests come for one that was just read.

Every change of a grant, its certificate or its subject is told by the table itself (migration 0020) and forgets it at
once in every process. The second bounds what a process that hears nothing may still accept, and nothing is kept
while it is known not to hear.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from mosaic_federation.oids import Claims
from mosaic_federation.scopes import parse_scope
from mosaic_hookspecs.errors import Invalid, Unavailable
from mosaic_hookspecs.protocols import Database, Host
from mosaic_hookspecs.scope import Scope
from mosaic_hookspecs.sql import load_queries

log = logging.getLogger(__name__)

KEPT = 1.0  # seconds
_MOST = 10_000  # grants kept; the oldest goes first
_AGAIN = 0.5  # seconds before listening is tried again
_CHANNEL = "federation_grants"  # of Postgres; a message is a grant's id, or nothing for all

_sql = load_queries("mosaic_federation", "queries.sql")


@dataclass(frozen=True, slots=True)
class Held:
    """A certificate that may be let in with a grant."""

    key_sha256: bytes | None  # of its key; None: not on record
    ends_at: datetime | None  # no longer let in from then on


@dataclass(frozen=True, slots=True)
class Standing:
    """A grant with its certificates and its subject, as the tables had them."""

    grant_id: UUID
    subject_id: UUID
    subject: str
    subject_disabled: bool
    peer: str
    status: str
    serial: str | None  # of the certificate in use
    certificates: Mapping[str, Held]  # by serial; two while one is taking the place of the other
    expires_at: datetime | None
    scope: Scope | None  # None: not one that this release can read
    requests_per_minute: int | None  # None: what the config says
    concurrency: int | None

    @classmethod
    def of(cls, row: Any) -> Standing:
        """From the query ``admission``."""
        try:
            scope = parse_scope(row["scope"])
        except Invalid:
            scope = None
        return cls(
            grant_id=row["id"],
            subject_id=row["subject_id"],
            subject=row["subject"],
            subject_disabled=row["subject_disabled"],
            peer=row["peer_name"],
            status=row["status"],
            serial=row["serial"],
            certificates=_certificates(row),
            expires_at=row["expires_at"],
            scope=scope,
            requests_per_minute=row["requests_per_minute"],
            concurrency=row["concurrency"],
        )

    def held(self, claims: Claims) -> Held | None:
        """What is on record of this certificate; one whose key is not on record is known by serial and subject."""
        held = self.certificates.get(claims.serial)
        if held is None or self.subject_id != claims.subject_id:
            return None
        return held if held.key_sha256 in {None, claims.key_sha256} else None

    def is_first_use(self, claims: Claims) -> bool:
        """Whether this is the next certificate, and has not been used yet."""
        held = self.held(claims)
        return held is not None and claims.serial != self.serial and held.ends_at is None


def _certificates(row: Any) -> dict[str, Held]:
    held = zip(row["keys"] or (), row["ends"] or (), strict=True)
    return dict(zip(row["serials"] or (), (Held(*each) for each in held), strict=True))


class Standings:
    """Standings by grant."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: dict[UUID, tuple[float, Standing]] = {}
        self._hearing = False
        self._news = 0  # how often something was forgotten
        self._listening: asyncio.Task[None] | None = None

    def kept(self, grant_id: UUID) -> Standing | None:
        """The grant as it was at most a second ago, if it was read then."""
        until, standing = self._kept.get(grant_id, (0.0, None))
        return standing if until > time.monotonic() else None

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
            self._kept.pop(grant_id, None)
            if len(self._kept) >= _MOST:
                del self._kept[next(iter(self._kept))]
            self._kept[grant_id] = (asked + KEPT, standing)
        return standing

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
        if grant_id:
            self._kept.pop(UUID(grant_id), None)
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


async def standing_of(host: Host, grant_id: UUID, *, afresh: bool = False) -> Standing | None:
    """How a grant stood at most a second ago, or, ``afresh``, stands now. None: there is none.

    Raises :class:`Unavailable`.
    """
    standings = _open[host.database]
    kept = None if afresh else standings.kept(grant_id)
    return kept or await standings.read(grant_id)


def forget_standing(host: Host, grant_id: UUID) -> None:
    """Have the next request in this process read the grant anew; the others hear of it from the table."""
    standings = _open.get(host.database)
    if standings is not None:
        standings.forget(grant_id)
