"""Mutual audit as the gateway that shares: tell a peer of our log, and be told of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar
from urllib.parse import parse_qsl

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from mosaic_federation.gate import Admitted
from mosaic_federation.mutual.witness import Witness
from mosaic_federation.mutual.words import (
    PAGE,
    Heads,
    Place,
    SharedRows,
    heads_of,
    in_utc,
    place_of,
    shared_row,
)
from mosaic_hookspecs.errors import ConfigError, Malformed, Unavailable
from mosaic_hookspecs.limits import refuse_key_over
from mosaic_hookspecs.protocols import AuditLog, Host
from mosaic_hookspecs.types import Answer, Rate

log = logging.getLogger("mosaic.federation")

Q = TypeVar("Q", bound=BaseModel)

_PATIENCE = 5.0  # seconds for a page, as for an answer with rows
# Each is kept for ever; and each page costs as much as some lists.
_TOLD = Rate("audit-head", limit=20, period=3600)
_ROWS = Rate("audit-rows", limit=60, period=60)
_NOT_BY_LINK = {"offer", "enroll"}  # asked before there was a certificate


class _Known(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True, extra="ignore")

    known: Annotated[int, Field(ge=1, lt=2**63)] | None = None


class _Wanted(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True, extra="ignore")

    since: Annotated[AwareDatetime, AfterValidator(in_utc)]
    after: Place | None = None


class Mutual:
    """Answers a peer about our log; all raise :class:`Unavailable` if there is none that can be read."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def head(self, query: bytes, admitted: Admitted) -> Answer:
        """Our latest checkpoint, or how it goes on from ``known``, and the last one of theirs that we were told."""
        log, asked = self._log(), _read(_Known, query)
        told = await heads_of(log, await log.head(), asked.known)
        told = told.model_copy(update={"yours": await self._witness(admitted).last()})
        return Answer(told.model_dump_json().encode(), rows=0)

    async def hear(self, body: Callable[[], Awaitable[bytes]], admitted: Admitted) -> Answer:
        """Keep a checkpoint of theirs. Raises :class:`Conflict` if it does not follow, and :class:`TooMany`.

        Of two of their exchanges at once, the slower one goes on from what was the last when it asked: that is neither
        kept nor held against them, for nothing counts but what goes on from the last.
        """
        await self._count(admitted, _TOLD)
        try:
            told = Heads.model_validate_json(await body())
        except ValidationError:
            raise Malformed("this is no checkpoint", remedy="use a gateway of this release") from None
        witness = self._witness(admitted)
        last = await witness.last()
        if told.asked is None or told.asked >= (last or 0):
            await witness.hear(told, last)
        else:  # said, since who always says so has us keep nothing more
            log.info(
                "%s goes on from checkpoint %s, and %s is known: not kept", admitted.peer, told.asked, last
            )
        return Answer(b"{}", rows=0)

    async def rows(self, query: bytes, admitted: Admitted) -> Answer:
        """A page of the rows of their own grant, by time; of each, what they can know anyway."""
        wanted = _read(_Wanted, query)
        await self._count(admitted, _ROWS)
        try:
            async with asyncio.timeout(_PATIENCE):
                page = await self._page(wanted, admitted)
        except TimeoutError:
            raise Unavailable(
                "the rows of the audit log took longer to find than a peer's question may",
                remedy="ask for them by a later time",
            ) from None
        return Answer(page.model_dump_json().encode(), rows=len(page.rows))

    async def _page(self, wanted: _Wanted, admitted: Admitted) -> SharedRows:
        since, skip = place_of(wanted.after) if wanted.after else (wanted.since, 0)
        found, at, same = [], since, 0
        async for row in self._log().rows_of(admitted.view.grant_id, since=since):
            same = same + 1 if row.at == at else 1
            at = row.at
            if at == since and same <= skip:
                continue
            shared = shared_row(row.payload)
            if shared and shared.verb not in _NOT_BY_LINK:
                found.append(shared)
            if len(found) == PAGE:
                break
        after = f"{at.isoformat()}/{same}" if len(found) == PAGE else None
        return SharedRows(rows=found, after=after)

    async def _count(self, admitted: Admitted, rate: Rate) -> None:
        key, told = admitted.view.grant_id.hex, "too many questions about the audit log"
        await refuse_key_over(self._host.limiter(), rate, key, told)

    def _witness(self, admitted: Admitted) -> Witness:
        return Witness(self._host.database, "taker", admitted.view.grant_id, admitted.peer)

    def _log(self) -> AuditLog:
        try:
            return self._host.audit_log()
        except ConfigError:
            raise Unavailable(
                "this gateway's audit log cannot be read back", remedy="ask its admin"
            ) from None


def _read(model: type[Q], query: bytes) -> Q:
    try:
        return model.model_validate(dict(parse_qsl(query.decode("ascii", "replace"))))
    except ValidationError as error:
        names = ", ".join(str(fault["loc"][0]) for fault in error.errors())
        raise Malformed(f"Wrong query parameters: {names}.") from None
