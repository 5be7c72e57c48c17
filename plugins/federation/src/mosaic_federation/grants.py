"""Grants: made, read, and taken back. Each transition is one statement that names the states it starts from."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from mosaic_federation.scopes import ScopeRequest, build_scope, in_words, parse_scope
from mosaic_federation.settings import Settings
from mosaic_hookspecs.errors import Conflict, Fault, Invalid, NotFound, Unavailable
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.scope import Scope
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import Explanation, GrantView

PEER_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

_TOKEN_BYTES = 32
_LONGEST = 3650  # days

_sql = load_queries("mosaic_federation", "queries.sql")


@dataclass(frozen=True, slots=True)
class Grant:
    """What a peer may see, through whose eyes, and how far the grant has come."""

    id: UUID
    subject_id: UUID
    subject: str
    peer_name: str
    peer_gateway: str | None
    scope: Scope
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

    @property
    def view(self) -> GrantView:
        """The viewer that its peer is."""
        return GrantView(self.id, self.subject_id, self.scope)


@dataclass(frozen=True, slots=True)
class Offer:
    """A grant just made. ``url`` holds the token and is shown this once."""

    grant: Grant
    url: str = field(repr=False)
    url_expires_at: datetime
    words: tuple[str, ...]


def token_hash(token: str) -> bytes:
    """What is stored of a token. It has 256 random bits, so one round of SHA-256 is enough."""
    return sha256(token.encode("utf-8")).digest()


def fingerprint(pem: bytes) -> str:
    """SHA-256 of a certificate's DER, lower-case hex."""
    return x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex()


class Grants:
    """The grants of this gateway."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def create(
        self, *, subject: str, peer: str, scope: ScopeRequest, actor: str, days: int | None = None
    ) -> Offer:
        """Offer ``peer`` a view through ``subject``'s eyes; ``days`` bounds it, None is without end.

        Raises :class:`NotFound` for the subject, :class:`Invalid` for a name or scope that cannot be.
        """
        check_peer_name(peer, "peer")
        if days is not None and not 1 <= days <= _LONGEST:
            raise Invalid("the grant is not valid", faults=[Fault("days", f"expected 1 to {_LONGEST}")])
        user = await self._host.identity.user(subject)
        teams = await self._host.identity.teams_of(user.id)
        built = build_scope(scope, self._host.rows, teams)
        ca = fingerprint(await self._host.authority().root())
        ends = datetime.now(UTC) + timedelta(days=days) if days is not None else None
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        ttl = self._host.settings(Settings).enrollment_ttl
        async with self._host.database.transaction() as sql:
            grant_id = await sql.fetchval(
                _sql.grant_create, user.id, peer, built.model_dump_json(), actor, ends
            )
            until = await sql.fetchval(_sql.token_create, token_hash(token), grant_id, ttl)
        url = f"{self._host.public_url}/federation/v1/enroll/{token}#ca={ca}"
        return Offer(await self.show(grant_id), url, until, tuple(in_words(built, teams)))

    async def all(self) -> list[Grant]:
        """All grants, oldest first."""
        return [_grant(row) for row in await self._host.database.fetch(_sql.grants, None)]

    async def show(self, grant_id: UUID) -> Grant:
        """One grant. Raises :class:`NotFound`."""
        row = await self._host.database.fetchrow(_sql.grants, grant_id)
        if row is None:
            raise NotFound(f"there is no grant {grant_id}", remedy="mosaic federation grant list")
        return _grant(row)

    async def words(self, grant: Grant) -> list[str]:
        """Its scope in words."""
        return in_words(grant.scope, await self._host.identity.teams_of(grant.subject_id))

    async def revoke(self, grant_id: UUID, *, actor: str, reason: str | None = None) -> Grant:
        """Take it back: the peer's next request is refused.

        Raises :class:`NotFound`, :class:`Conflict` if it is revoked already, and :class:`Unavailable` if the
        authority could not be told; the grant is refused all the same.
        """
        row = await self._host.database.fetchrow(_sql.grant_revoke, grant_id, actor, reason)
        if row is None:
            grant = await self.show(grant_id)
            raise Conflict(f"grant {grant_id} is {grant.status} already")
        if row["serial"] is not None:
            await self._revoke_certificate(grant_id, row["serial"])
        return await self.show(grant_id)

    async def explain(self, grant_id: UUID, resource: str, row_id: str) -> Explanation:
        """Whether the grant would see a row, and why."""
        grant = await self.show(grant_id)
        found = await self._host.rows.explain(grant.view, resource, row_id)
        if grant.status in {"revoked", "expired"}:
            return Explanation(False, (f"the grant is {grant.status}: it shows nothing", *found.reasons))
        return found

    async def _revoke_certificate(self, grant_id: UUID, serial: str) -> None:
        try:
            await self._host.authority().revoke(serial)
        except Unavailable as error:
            raise Unavailable(
                f"grant {grant_id} is revoked and refused from now on, but the authority could not be told",
                remedy=f"once it is back, revoke serial {serial} there",
            ) from error


def check_peer_name(name: str, where: str) -> None:
    """Raise :class:`Invalid` unless ``name`` is lower-case letters, digits and inner hyphens, 63 at most."""
    if not PEER_NAME.fullmatch(name):
        fault = Fault(where, f"{name!r}: expected lower-case letters, digits and inner hyphens, 63 at most")
        raise Invalid("the name is not valid", faults=[fault])


def _grant(row: Any) -> Grant:
    return Grant(**{**row, "scope": parse_scope(row["scope"])})
