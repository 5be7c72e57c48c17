"""Mutual audit as the gateway that shares: tell a peer of our log, and be told of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, TypeVar
from urllib.parse import parse_qsl

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from mosaic_federation.gate import Admitted
from mosaic_federation.mutual.witness import Witness
from mosaic_federation.mutual.words import PAGE, Heads, Place, SharedRows, head_of, shared_row
from mosaic_hookspecs.errors import ConfigError, Malformed, Unavailable
from mosaic_hookspecs.protocols import AuditLog, Host
from mosaic_hookspecs.types import Answer

Q = TypeVar("Q", bound=BaseModel)

_NOT_BY_LINK = {"offer", "enroll"}  # asked before there was a certificate


class _Known(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True, extra="ignore")

    known: Annotated[int, Field(ge=1, lt=2**63)] | None = None


class _Wanted(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True, extra="ignore")

    since: AwareDatetime
    after: Place | None = None


class Mutual:
    """Answers a peer about our log; all raise :class:`Unavailable` if there is none that can be read."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def head(self, query: bytes, admitted: Admitted) -> Answer:
        """Our latest checkpoint, the one of number ``known``, and the last one of theirs that we were told."""
        log, asked = self._log(), _read(_Known, query)
        known = await log.checkpoint(asked.known) if asked.known else None
        told = Heads(
            head=await head_of(log, await log.head()),
            known=await head_of(log, known),
            yours=await self._witness(admitted).last(),
        )
        return Answer(told.model_dump_json().encode(), rows=0)

    async def hear(self, body: Callable[[], Awaitable[bytes]], admitted: Admitted) -> Answer:
        """Keep their latest checkpoint. Raises :class:`Conflict` if it does not follow the one before."""
        try:
            told = Heads.model_validate_json(await body())
        except ValidationError:
            raise Malformed("this is no checkpoint", remedy="use a gateway of this release") from None
        witness = self._witness(admitted)
        await witness.hear(told, await witness.last())
        return Answer(b"{}", rows=0)

    async def rows(self, query: bytes, admitted: Admitted) -> Answer:
        """A page of the rows of their own grant, by time; of each, what they can know anyway."""
        wanted = _read(_Wanted, query)
        since, skip = _place(wanted.after) if wanted.after else (wanted.since, 0)
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
        return Answer(SharedRows(rows=found, after=after).model_dump_json().encode(), rows=len(found))

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


def _place(text: str) -> tuple[datetime, int]:
    at, _, same = text.partition("/")
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Malformed("Wrong query parameters: after.", remedy="send what the page before said")
    return moment, int(same)
