"""Keep what another gateway has said of its log, and hold it to that.

Its key is believed at first sight, over mTLS, and from then on no other. Who rewrites or shortens a log cannot show
the checkpoint that was told before, has to sign another one of the same number, which is kept as the proof, or goes on
from another one: each names the hash of the one before, and all between two that are told are shown.
"""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal
from uuid import UUID

from pydantic import ValidationError

from mosaic_federation.mutual.words import Checkpoint, Head, Heads
from mosaic_hookspecs.audit import AuditCheckpoint
from mosaic_hookspecs.errors import Conflict, NotFound
from mosaic_hookspecs.protocols import Database
from mosaic_hookspecs.sql import load_queries

Side = Literal["giver", "taker"]

log = logging.getLogger("mosaic.federation")

_sql = load_queries("mosaic_federation", "mutual.sql")
_REMEDY = "ask its admin, by another way, what became of it; `mosaic audit witness` shows what it said before"


@dataclass(frozen=True, slots=True)
class Witness:
    """Of one gateway's log. ``name`` is what it is called here."""

    database: Database
    side: Side
    grant_id: UUID
    name: str

    async def last(self) -> int | None:
        """Number of the last checkpoint that it told."""
        row = await self.database.fetchrow(_sql.head_latest, self.side, self.grant_id)
        return row and int(row["number"])

    async def hear(self, told: Heads, last: int | None) -> None:
        """Keep its head, which must follow the one of number ``last``. Raises :class:`Conflict`, loudly."""
        if last is not None and (told.known is None or await self._keep(told.known) != last):
            raise self._conflict(f"does not show its checkpoint {last} any more: its log was cut or replaced")
        if told.head is None:
            if last is not None:
                raise self._conflict(
                    f"shows no checkpoint any more after {last}: its log was cut or replaced"
                )
            return
        if last is not None and told.known is not None:
            self._refuse_broken(told.known, [*told.between, told.head.payload])
        number = await self._keep(told.head)
        if last is not None and number < last:
            raise self._conflict(f"went back from checkpoint {last} to {number}: its log was cut or replaced")

    def _refuse_broken(self, known: Head, following: Sequence[str]) -> None:
        """What goes on from another checkpoint than ``known`` is not kept: it would be what it is held to next."""
        last = self._read(known.payload).number
        if self._read(following[-1]).number <= last:
            return
        before = known.checkpoint
        for number, payload in enumerate(following, start=last + 1):
            said = self._read(payload)
            if said.number != number or said.prev != before.hash.hex():
                raise self._conflict(
                    f"does not go on from its checkpoint {number - 1}: its log was rewritten, or it leaves some out"
                )
            before = AuditCheckpoint(payload, b"")

    async def _keep(self, head: Head) -> int:
        """Its number, once it is kept."""
        pinned = await self.database.fetchrow(_sql.head_latest, self.side, self.grant_id)
        if pinned and pinned["key"] != head.public_key:
            raise self._conflict("signs its audit log with another key than before")
        said = self._read(head.payload)
        if said.key != sha256(head.public_key).hexdigest() or not head.checkpoint.is_by(head.public_key):
            raise self._conflict("sends a checkpoint of its audit log that it did not sign")
        number = said.number
        before = await self.database.fetchval(_sql.head_numbered, self.side, self.grant_id, number)
        whole = (number, head.payload, head.checkpoint.signature, head.public_key)
        await self.database.execute(_sql.head_keep, self.side, self.grant_id, *whole)
        if before is not None and before != head.payload:
            raise self._conflict(f"tells two things of its checkpoint {number}: its log was rewritten")
        return number

    def _read(self, payload: str) -> Checkpoint:
        try:
            return Checkpoint.model_validate_json(payload)
        except ValidationError:
            raise self._conflict("sends a checkpoint of its audit log that is none") from None

    def _conflict(self, what: str) -> Conflict:
        log.error("mutual audit: gateway %s %s", self.name, what)
        return Conflict(f"gateway {self.name!r} {what}", remedy=_REMEDY)


async def latest_of(database: Database, name: str) -> dict[str, Any]:
    """The latest checkpoint that the gateway of this name has told, also for `verify`. Raises :class:`NotFound`."""
    row = await database.fetchrow(_sql.heads_of, name)
    if row is None:
        raise NotFound(
            f"gateway {name!r} has told no checkpoint", remedy="mosaic audit reconcile asks for one"
        )
    told = AuditCheckpoint(row["payload"], row["signature"])
    return {
        "gateway": name,
        "number": row["number"],
        "at": told.at.isoformat(),
        "told_at": row["told_at"].isoformat(),
        "key": f"ed25519:{b64encode(row['key']).decode()}",  # as `mosaic audit key` prints it there
        "hash": told.hash.hex(),
        "payload": row["payload"],
        "signature": row["signature"].hex(),
    }
