"""Tokens as last seen in the table, kept near for a second: most requests come with one that was just used.

Taking a token back forgets it in every process; the second bounds what a process that hears nothing may still accept.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from mosaic_hookspecs.errors import ConfigError, Unavailable
from mosaic_hookspecs.protocols import Cache, Sealer
from mosaic_hookspecs.types import User

log = logging.getLogger("mosaic.identity")

KEPT = 1.0  # seconds

_REVOKED = "The API token was revoked."
_EXPIRED = "The API token has expired."
_DISABLED = "The user of this API token is disabled."


@dataclass(frozen=True, slots=True)
class Found:
    """A token that exists. ``ends`` is when it expires, seconds since the epoch."""

    hash: bytes = field(repr=False)
    user: User
    refused: str  # why, or nothing
    ends: float | None
    touch: bool  # its last use is to be written down

    @classmethod
    def of(cls, row: Any) -> Found:
        """From the query ``find_token``."""
        refused = _REVOKED if row["revoked"] else _DISABLED if row["disabled"] else ""
        ends = None if row["seconds_left"] is None else time.time() + float(row["seconds_left"])
        user = User(id=row["id"], username=row["username"], admin=row["admin"])
        return cls(row["hash"], user, refused, ends, row["touch"])

    @property
    def refusal(self) -> str:
        """Why it is refused now, or nothing."""
        return self.refused or (_EXPIRED if self.ends is not None and self.ends <= time.time() else "")

    def dump(self) -> bytes:
        """As the cache keeps it."""
        user = (str(self.user.id), self.user.username, self.user.admin)
        return json.dumps((self.hash.hex(), user, self.refused, self.ends, self.touch)).encode()

    @classmethod
    def load(cls, kept: bytes) -> Found:
        """What :meth:`dump` made."""
        hashed, (id_, username, admin), refused, ends, touch = json.loads(kept)
        return cls(bytes.fromhex(hashed), User(UUID(id_), username, admin), refused, ends, touch)


class KnownTokens:
    """Tokens by prefix, through the gateway's cache.

    Sealed: others may write to the cache's server, such as a gateway of the same name, and must let nobody in.
    """

    def __init__(self, cache: Cache, sealer: Sealer, find: Callable[[str], Awaitable[Found | None]]) -> None:
        self._cache = cache
        self._sealer = sealer
        self._find = find

    async def find(self, prefix: str) -> Found | None:
        """A token as it was at most a second ago."""

        async def load() -> bytes | None:
            found = await self._find(prefix)
            return self._sealer.seal(found.dump(), place=place) if found else None

        place = f"token:{prefix}"
        kept = await self._cache.get(place, load, ttl=KEPT)
        try:
            return Found.load(self._sealer.open(kept, place=place)) if kept else None
        except ConfigError:
            return await self._find(prefix)

    async def forget(self, prefixes: list[str]) -> None:
        """Have every process look again. If that cannot be said, they do within a second."""
        try:
            await self._cache.forget(*(f"token:{prefix}" for prefix in prefixes))
        except Unavailable as error:
            log.warning("workers take up to %g s to notice: %s", KEPT, error.detail)
