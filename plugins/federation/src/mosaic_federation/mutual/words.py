"""What two gateways tell each other of their logs: checkpoints, and the rows of the one grant between them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from mosaic_hookspecs.audit import AuditCheckpoint
from mosaic_hookspecs.protocols import AuditLog

PAGE = 1000  # rows

_Count = Annotated[int, Field(ge=0, lt=2**63)]
_Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Word = Annotated[str, StringConstraints(pattern=r"^[a-z-]{1,63}$")]
Place = Annotated[str, StringConstraints(pattern=r"^[0-9T:.+-]{20,40}/[0-9]{1,9}$")]


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True, extra="ignore")  # a newer release may say more


class Head(_Said):
    """A signed checkpoint, and its key. It says how many rows of the whole log it covers, and not whose."""

    payload: Annotated[str, Field(max_length=2048)]
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
    """The latest checkpoint of the one who tells; the one it had told last; and the last that it was told itself."""

    head: Head | None = None
    known: Head | None = None
    yours: Annotated[int, Field(ge=1, lt=2**63)] | None = None


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


async def head_of(log: AuditLog, checkpoint: AuditCheckpoint | None) -> Head | None:
    """A checkpoint of our own, to be told."""
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
