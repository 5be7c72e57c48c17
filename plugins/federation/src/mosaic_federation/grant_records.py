"""What there is to know of a grant: itself, its changes, and the offer that it starts as."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from hashlib import sha256
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from mosaic_federation.scopes import parse_scope
from mosaic_hookspecs.errors import Fault, Invalid
from mosaic_hookspecs.scope import Scope
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import GrantView

PEER_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Grant:
    """What a peer may see, through whose eyes, and how far the grant has come."""

    id: UUID
    subject_id: UUID
    subject: str
    peer_name: str
    peer_gateway: str | None
    scope: Scope | None  # None: what is stored is no scope that this release can keep to; its peer is refused
    status: str  # as of now: a lapsed one is "expired"
    serial: str | None
    not_after: datetime | None  # of the certificate
    created_by: str
    created_at: datetime
    activated_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    reason: str | None
    version: int
    subject_disabled: bool
    requests_per_minute: int | None  # None: what the config says
    concurrency: int | None

    @classmethod
    def of(cls, row: Any) -> Grant:
        """Of a row of the query ``grants``."""
        try:
            scope = parse_scope(row["scope"])
        except Invalid:  # such as of a newer release: the others are to be seen all the same
            scope = None
        return cls(**{**row, "scope": scope})

    @property
    def view(self) -> GrantView | None:
        """The viewer that its peer is, if there is a scope."""
        return GrantView(self.id, self.subject_id, self.scope) if self.scope else None


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a grant: who, when and why."""

    version: int  # of the grant, from this change on
    change: str
    at: datetime
    actor: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Offer:
    """A grant just made, or given a new URL. ``url`` holds the token and is shown this once."""

    grant: Grant
    url: str = field(repr=False)
    url_expires_at: datetime
    words: tuple[str, ...]


@cache
def grant_queries() -> SimpleNamespace:
    """The queries of grants.sql, with the state as of now where they ask for it."""
    raw = vars(load_queries("mosaic_federation", "grants.sql"))
    return SimpleNamespace(
        **{name: text.replace("{status}", raw["status_now"]) for name, text in raw.items()}
    )


def token_hash(token: str) -> bytes:
    """What is stored of a token. It has 256 random bits, so one round of SHA-256 is enough."""
    return sha256(token.encode("utf-8")).digest()


def fingerprint(pem: bytes) -> str:
    """SHA-256 of a certificate's DER, lower-case hex."""
    return x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex()


def check_peer_name(name: str, where: str) -> None:
    """Raise :class:`Invalid` unless ``name`` is lower-case letters, digits and inner hyphens, 63 at most."""
    if not PEER_NAME.fullmatch(name):
        fault = Fault(where, f"{name!r}: expected lower-case letters, digits and inner hyphens, 63 at most")
        raise Invalid("the name is not valid", faults=[fault])
