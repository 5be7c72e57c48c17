"""How a grant stands: with its certificates and its subject, as the tables have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from mosaic_federation.oids import Claims
from mosaic_federation.scopes import parse_scope
from mosaic_hookspecs.errors import Invalid
from mosaic_hookspecs.scope import Scope


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
