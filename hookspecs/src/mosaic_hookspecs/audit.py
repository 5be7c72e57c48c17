"""What others may hold of an audit log: its signed checkpoints, and rows as they were hashed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

_CONTEXT = b"mosaic audit checkpoint 1\n"  # what is signed here can be taken for nothing else


@dataclass(frozen=True, slots=True)
class AuditCheckpoint:
    """A gateway's word for all rows of its log up to a moment, linked to the checkpoint before.

    ``payload`` is canonical JSON: ``at``, ``gateway``, ``key`` (SHA-256 of the public key), ``number``, ``prev``
    (hash of the checkpoint before), ``root`` (Merkle root as in RFC 6962 over what it covers) and ``rows``.
    """

    payload: str
    signature: bytes  # Ed25519 (RFC 8032)

    @property
    def hash(self) -> bytes:
        """SHA-256 of the payload: what the next checkpoint names as ``prev``."""
        return sha256(self.payload.encode("utf-8", "surrogatepass")).digest()

    @property
    def content(self) -> dict[str, Any]:
        """The payload, read. Raises ValueError."""
        return dict(json.loads(self.payload))

    @property
    def number(self) -> int:
        """Checkpoints of a gateway are numbered from 1."""
        return int(self.content["number"])

    @property
    def at(self) -> datetime:
        """When it was signed."""
        return datetime.fromisoformat(self.content["at"])

    @property
    def signed(self) -> bytes:
        """The bytes under the signature."""
        return _CONTEXT + self.payload.encode("utf-8", "surrogatepass")

    def is_by(self, key: bytes) -> bool:
        """Whether the holder of this Ed25519 key (32 bytes, public) signed it."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  8 MB of any process
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

        try:
            Ed25519PublicKey.from_public_bytes(key).verify(self.signature, self.signed)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A row of the log. ``payload`` is the canonical JSON of all it says, and what ``hash`` covers."""

    stream: UUID  # the writer's
    seq: int  # within the stream, from 1
    at: datetime
    request_id: str
    trace_id: str
    payload: str
    hash: bytes
