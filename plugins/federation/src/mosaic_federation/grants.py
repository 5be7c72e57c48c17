"""Grants: made, read, changed and taken back.

=============  =========================================================================================
from           may become
=============  =========================================================================================
pending        active (enrolled), revoked, expired (its end, or its URL's, has come)
active         active (enrolled anew), quarantined (its spent URL was used again), revoked, expired
quarantined    active (released), revoked, expired
expired        pending (a new URL, if it never was enrolled and its own end has not come), revoked
revoked        nothing
=============  =========================================================================================

Every change is one statement in grants.sql (enrollment: enrollment.sql) that names the states it starts from.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from mosaic_federation.budget import rows_given
from mosaic_federation.certificates import tell_authority
from mosaic_federation.grant_limits import GrantLimits
from mosaic_federation.grant_records import (
    PEER_NAME,
    Change,
    Grant,
    Offer,
    check_peer_name,
    fingerprint,
    grant_queries,
    token_hash,
)
from mosaic_federation.notices import tell_changed
from mosaic_federation.scopes import ScopeRequest, build_scope, in_words
from mosaic_federation.settings import Settings
from mosaic_hookspecs.errors import Conflict, Invalid, NotFound, Unavailable
from mosaic_hookspecs.protocols import Host, Queries
from mosaic_hookspecs.types import Explanation

__all__ = ["PEER_NAME", "Grant", "Grants", "Offer", "check_peer_name", "fingerprint", "token_hash"]

#: What a grant may be told to become, and the word for it in a refusal.
Verb = Literal["revoked", "updated", "reissued", "released"]

_TOKEN_BYTES = 32
_NO_LIMITS = GrantLimits()  # of its own

_sql = grant_queries()


class Grants:
    """The grants of this gateway.

    ``actor`` is whoever does it, and ``reason`` why; both are kept in the grant's history. ``expected_version``
    is the version that was read before: the change is refused if somebody else has made another one since.
    All changes raise :class:`NotFound`, and :class:`Conflict` for another version or a state that does not
    allow them.
    """

    def __init__(self, host: Host) -> None:
        self._host = host

    async def create(
        self,
        *,
        subject: str,
        peer: str,
        scope: ScopeRequest | Mapping[str, object],
        actor: str,
        limits: GrantLimits = _NO_LIMITS,
    ) -> Offer:
        """Offer ``peer`` a view through ``subject``'s eyes. ``scope`` is as :func:`build_scope` takes it.

        Raises :class:`NotFound` for the subject, :class:`Invalid` for a name or scope that cannot be.
        """
        check_peer_name(peer, "peer")
        user = await self._host.identity.user(subject)
        teams = await self._host.identity.teams_of(user.id)
        built = build_scope(scope, self._host.rows, teams)
        ca = fingerprint(await self._host.authority().root())
        async with self._host.database.transaction() as sql:
            made = (user.id, peer, built.model_dump_json(), actor, *limits.over(None, None))
            grant_id = await sql.fetchval(_sql.create, *made)
            token, until = await self._new_token(sql, grant_id)
        offer = await self._offer(grant_id, token, until, ca)
        await tell_changed(self._host, offer.grant, "created")
        return offer

    async def update(
        self,
        grant_id: UUID,
        scope: ScopeRequest | Mapping[str, object],
        *,
        actor: str,
        reason: str | None = None,
        expected_version: int | None = None,
        replace: bool = False,
        limits: GrantLimits = _NO_LIMITS,
    ) -> Grant:
        """Give a pending or active grant another scope or other limits, from the peer's next request on.

        What they leave out stays as it is; with ``replace``, ``scope`` is the whole new scope. Raises also
        :class:`Invalid` for a scope that cannot be.
        """
        before = await self.show(grant_id)
        self._check_version(before, expected_version)
        own = limits.over(before.requests_per_minute, before.concurrency)
        text = await self._new_scope(before, scope, replace=replace)
        change = (grant_id, before.version, actor, reason, text, *own)
        version = await self._host.database.fetchval(_sql.update, *change)
        return await self._changed("updated", version, grant_id, before.version)

    async def _new_scope(
        self, before: Grant, scope: ScopeRequest | Mapping[str, object], *, replace: bool
    ) -> str | None:
        """As JSON; None if nothing of it is to change."""
        if not replace and scope in (ScopeRequest(), {}):
            return None
        if before.scope is None and not replace:
            raise Invalid(
                f"this release cannot read the scope of grant {before.id}",
                remedy="`mosaic federation grant update --scope` gives it another, `grant revoke` takes it back",
            )
        teams = await self._host.identity.teams_of(before.subject_id)
        built = build_scope(scope, self._host.rows, teams, base=None if replace else before.scope)
        return built.model_dump_json()

    async def new_url(
        self,
        grant_id: UUID,
        *,
        actor: str,
        reason: str | None = None,
        expected_version: int | None = None,
    ) -> Offer:
        """Make a new enrollment URL; those made before can no longer be used.

        For a grant that is pending or active, or expired only because its URL was not used in time: that one
        is pending again. Until the new URL is redeemed, the present certificate stays in use.
        """
        ca = fingerprint(await self._host.authority().root())
        async with self._host.database.transaction() as sql:
            version = await sql.fetchval(_sql.reissue, grant_id, expected_version, actor, reason)
            if version is not None:
                await sql.execute(_sql.tokens_end, grant_id)
                token, until = await self._new_token(sql, grant_id)
        await self._changed("reissued", version, grant_id, expected_version)
        return await self._offer(grant_id, token, until, ca)

    async def release(
        self,
        grant_id: UUID,
        *,
        actor: str,
        reason: str | None = None,
        expected_version: int | None = None,
    ) -> Grant:
        """Make a quarantined grant active again, with the certificate it has."""
        version = await self._host.database.fetchval(_sql.release, grant_id, expected_version, actor, reason)
        return await self._changed("released", version, grant_id, expected_version)

    async def revoke(
        self,
        grant_id: UUID,
        *,
        actor: str,
        reason: str | None = None,
        expected_version: int | None = None,
    ) -> Grant:
        """Take it back, whatever state it is in: the peer's next request is refused.

        Raises also :class:`Unavailable` if the authority could not be told; the grant is refused all the same.
        """
        async with self._host.database.transaction() as sql:
            version = await sql.fetchval(_sql.revoke, grant_id, expected_version, actor, reason)
            if version is not None:
                await sql.execute(_sql.certificates_end, grant_id)
        revoked = await self._changed("revoked", version, grant_id, expected_version)
        try:
            await tell_authority(self._host)
        except Unavailable as error:
            raise Unavailable(
                f"grant {grant_id} is revoked and refused from now on, but the authority could not be told",
                remedy=f"it is told again every minute; at the authority it is serial {revoked.serial}",
            ) from error
        return revoked

    async def all(self, *, status: str | None = None, peer: str | None = None) -> list[Grant]:
        """All grants, or those in a state, or of a peer, oldest first."""
        return [Grant.of(row) for row in await self._host.database.fetch(_sql.grants, None, status, peer)]

    async def show(self, grant_id: UUID) -> Grant:
        """One grant. Raises :class:`NotFound`."""
        row = await self._host.database.fetchrow(_sql.grants, grant_id, None, None)
        if row is None:
            raise NotFound(f"there is no grant {grant_id}", remedy="mosaic federation grant list")
        return Grant.of(row)

    async def history(self, grant_id: UUID) -> list[Change]:
        """Every change of a grant, oldest first."""
        return [Change(**row) for row in await self._host.database.fetch(_sql.changes, grant_id)]

    async def words(self, grant: Grant) -> list[str]:
        """Its scope in words."""
        if grant.scope is None:
            return ["nothing: this release cannot read its scope"]
        return in_words(grant.scope, await self._host.identity.teams_of(grant.subject_id))

    async def explain(self, grant_id: UUID, resource: str, row_id: str) -> Explanation:
        """Whether the grant would see a row now, and why."""
        grant = await self.show(grant_id)
        if grant.scope is None or grant.view is None:
            return Explanation(False, ("hidden: this release cannot read the scope",))
        found = await self._host.rows.explain(grant.view, resource, row_id)
        hidden, further = [], []
        if grant.subject_disabled:
            hidden.append("hidden: the grant's subject is no longer a user here")
        if grant.status in {"quarantined", "revoked", "expired"}:
            hidden.append(f"hidden: the grant is {grant.status}")
        if grant.expires_at is not None and grant.status != "expired":
            further.append(f"allowed: the grant ends only at {grant.expires_at:%Y-%m-%d %H:%M:%S} UTC")
        if (most := grant.scope.max_rows_per_day) is not None:
            given = await rows_given(self._host.database, grant_id, datetime.now(UTC))
            word, why = ("hidden", hidden) if given >= most else ("allowed", further)
            why.append(f"{word}: {given} of {most} rows of this day (UTC) are given")
        return Explanation(found.visible and not hidden, (*hidden, *found.reasons, *further))

    async def _new_token(self, sql: Queries, grant_id: UUID) -> tuple[str, datetime]:
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        ttl = self._host.settings(Settings).enrollment_ttl
        return token, await sql.fetchval(_sql.token_create, token_hash(token), grant_id, ttl)

    async def _offer(self, grant_id: UUID, token: str, until: datetime, ca: str) -> Offer:
        grant = await self.show(grant_id)
        url = f"{self._host.public_url}/federation/v1/enroll/{token}#ca={ca}"
        return Offer(grant, url, until, tuple(await self.words(grant)))

    async def _changed(self, verb: Verb, version: int | None, grant_id: UUID, expected: int | None) -> Grant:
        """The grant after a change. Raises :class:`Conflict` if there was none, which ``version`` None says."""
        grant = await self.show(grant_id)
        if version is None:
            self._check_version(grant, expected)
            already = "already" if grant.status == verb else f"and cannot be {verb}"
            raise Conflict(f"grant {grant_id} is {grant.status} {already}")
        await tell_changed(self._host, grant, verb)
        return grant

    @staticmethod
    def _check_version(grant: Grant, expected: int | None) -> None:
        if expected is not None and grant.version != expected:
            raise Conflict(
                f"grant {grant.id} is at version {grant.version}, not {expected}: it was changed meanwhile",
                remedy=f"look at it again: mosaic federation grant show {grant.id}",
            )
