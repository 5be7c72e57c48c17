"""What two gateways tell each other of their logs: checkpoints, and the rows of the one grant between them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from mosaic_hookspecs.audit import AuditCheckpoint
from mosaic_hookspecs.protocols import AuditLog

PAGE = 200  # rows
LINKS = 30  # checkpoints between two that are told: with both, they fit into the body that a listener takes

_Count = Annotated[int, Field(ge=0, lt=2**63)]
_Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Payload = Annotated[str, Field(max_length=2048)]
_Word = Annotated[str, StringConstraints(pattern=r"^[a-z-]{1,63}$")]


def place_of(text: str) -> tuple[datetime, int]:
    """Where a page ended: the time of its last row, and which one of that time it was. Raises ValueError."""
    at, _, same = text.partition("/")
    return in_utc(datetime.fromisoformat(at)), int(same)


def in_utc(moment: datetime) -> datetime:
    """The same moment. Raises ValueError if it is in no year that there is, or in no time zone."""
    if moment.tzinfo is None:
        raise ValueError("says no time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range") from None


def _a_place(text: str) -> str:
    place_of(text)
    return text


Place = Annotated[str, StringConstraints(pattern=r"^[0-9T:.+-]{20,40}/[0-9]{1,9}$"), AfterValidator(_a_place)]


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True, extra="ignore")  # a newer release may say more


class Checkpoint(_Said):
    """What a checkpoint says, as far as others go by it. Of its payload, which its gateway has signed, nothing else."""

    number: Annotated[int, Field(ge=1, lt=2**63, strict=True)]
    at: AwareDatetime
    key: _Hash
    prev: _Hash
    root: _Hash
    rows: _Count


class Head(_Said):
    """A signed checkpoint, and its key. It says how many rows of the whole log it covers, and not whose."""

    payload: _Payload
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]
    key: _Hash

    @property
    def checkpoint(self) -> AuditCheckpoint:
        """The same, read."""
        return AuditCheckpoint(self.payload, bytes.fromhex(self.signature))

    @property
    def public_key(self) -> bytes:
        """Ed25519, 32 bytes."""
        return bytes.fromhex(self.key)


class Heads(_Said):
    """A checkpoint of the one who tells; the one it had told last; and the last that it was told itself.

    ``between``: the payloads of all between the two, each of which names the hash of the one before it. If there are
    more than may be told at once, ``head`` is not the latest yet. ``asked``: the number of the one that it was to go
    on from, 0 from none; a release that knows no ``asked`` leaves it out.
    """

    head: Head | None = None
    known: Head | None = None
    between: Annotated[tuple[_Payload, ...], Field(max_length=LINKS)] = ()
    yours: Annotated[int, Field(ge=1, lt=2**63)] | None = None
    asked: _Count | None = None


class SharedRow(_Said):
    """What both gateways can know of an answer."""

    at: AwareDatetime
    request_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    trace_id: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{32})?$")]
    serial: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{1,64}$")]
    verb: _Word
    resource: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_?]{0,63}$")]
    query_hash: _Hash
    outcome: _Word
    rows: _Count
    bytes_out: _Count


class SharedRows(_Said):
    """A page. ``after``: where the next one begins; None at the end."""

    rows: Annotated[list[SharedRow], Field(max_length=PAGE)]
    after: Place | None = None


async def heads_of(log: AuditLog, latest: AuditCheckpoint | None, known: int | None) -> Heads:
    """What we tell of our log to who knows of our checkpoint ``known``: from there as far as one piece goes."""
    before = await log.checkpoint(known) if known else None
    between: list[AuditCheckpoint] = []
    while before and latest and len(between) < LINKS:
        one = await log.checkpoint(before.number + len(between) + 1)
        if one is None or one.number >= latest.number:
            break
        between.append(one)
    if len(between) == LINKS:
        latest = await log.checkpoint(between[-1].number + 1)
    return Heads(
        head=await _head_of(log, latest),
        known=await _head_of(log, before),
        between=tuple(each.payload for each in between),
        asked=known or 0,
    )


async def _head_of(log: AuditLog, checkpoint: AuditCheckpoint | None) -> Head | None:
    if checkpoint is None:
        return None
    key = await log.key()
    return Head(payload=checkpoint.payload, signature=checkpoint.signature.hex(), key=key.hex())


def shared_row(payload: str) -> SharedRow | None:
    """A row of our log; None for what no peer asked, or in words that no gateway uses."""
    try:
        return SharedRow.model_validate_json(payload)
    except ValidationError:
        return None
