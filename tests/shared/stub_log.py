"""Another gateway's audit log, as far as its checkpoints go: whoever has its key signs what it likes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mosaic_federation.mutual.words import Head, Heads
from mosaic_hookspecs.audit import AuditCheckpoint

AT = datetime(2026, 11, 22, tzinfo=UTC).isoformat()


@dataclass
class StubLog:
    """As many checkpoints as are asked for."""

    root: str = "00"
    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    payloads: list[str] = field(default_factory=list)

    def forked(self, last: int) -> StubLog:
        """Of the same gateway, written anew after checkpoint ``last``."""
        return StubLog("ff", self.private, [self.payload(number) for number in range(1, last + 1)])

    def payload(self, number: int) -> str:
        while len(self.payloads) < number:
            before = sha256(self.payloads[-1].encode()).hexdigest() if self.payloads else "0" * 64
            said = {"number": len(self.payloads) + 1, "at": AT, "key": sha256(self.key).hexdigest()}
            more = {"prev": before, "root": self.root * 32, "rows": 1, "gateway": "stub"}
            self.payloads.append(json.dumps(said | more))
        return self.payloads[number - 1]

    @property
    def key(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    def head(self, number: int) -> Head:
        return self.signed(self.payload(number))

    def signed(self, payload: str) -> Head:
        signature = self.private.sign(AuditCheckpoint(payload, b"").signed)
        return Head(payload=payload, signature=signature.hex(), key=self.key.hex())

    def heads(self, number: int, *, known: int | None = None) -> Heads:
        """What it tells whom it has told ``known``."""
        between = [self.payload(each) for each in range((known or number) + 1, number)]
        return Heads(
            head=self.head(number), known=self.head(known) if known else None, between=tuple(between)
        )
