"""Enrollment as the gateway that shares: an offer is looked at freely and redeemed once."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from mosaic_federation.grants import fingerprint, token_hash
from mosaic_federation.scopes import in_words, parse_scope
from mosaic_federation.settings import Settings
from mosaic_hookspecs.errors import Gone, MosaicError, NotFound, Unavailable
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import AuditEvent, IssuedCertificate

_AUTHORITY_PATIENCE = 15.0  # seconds
_ENDLESS = timedelta(days=3650)  # asked of the authority for a grant without end; it grants less

_sql = load_queries("mosaic_federation", "queries.sql")


class Enrollment:
    """Redeems offers. One at a time in a process: each keeps a connection while the authority signs."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._turn = asyncio.Lock()

    async def offer(self, token: str) -> dict[str, Any]:
        """What the token's grant would let its peer see. Consumes nothing.

        Raises :class:`NotFound` for an unknown token, :class:`Gone` for one that can no longer be used.
        """
        row = _known(await self._host.database.fetchrow(_sql.offer, token_hash(token)))
        _check(row)
        return await self._describe(row)

    async def redeem(self, token: str, *, csr: bytes, name: str, request_id: str) -> dict[str, Any]:
        """Spend the token and activate its grant for the key of ``csr``, both or neither.

        Raises as :meth:`offer`, :class:`Invalid` for a bad CSR, and :class:`Unavailable` when the authority
        or the audit log is; in each of these cases the token is not spent.
        """
        started = time.perf_counter_ns()
        hashed = token_hash(token)
        _known(await self._host.database.fetchrow(_sql.offer, hashed))
        async with self._turn, self._host.database.transaction() as sql:
            row = _known(await sql.fetchrow(f"{_sql.offer} FOR UPDATE OF t, g", hashed))
            try:
                _check(row)
                issued = await self._sign(row, csr)
                answer = await self._describe(row) | await self._certificate(issued)
            except MosaicError as refusal:
                await self._record(row, "", refusal.code, hashed, started, request_id)
                raise
            await sql.execute(_sql.token_consume, hashed)
            await sql.execute(_sql.grant_activate, row["grant_id"], issued.serial, issued.not_after, name)
            await self._record(row, issued.serial, "ok", hashed, started, request_id)
        return answer

    async def _sign(self, row: Any, csr: bytes) -> IssuedCertificate:
        ends = row["grant_expires_at"] or datetime.now(UTC) + _ENDLESS
        try:
            async with asyncio.timeout(_AUTHORITY_PATIENCE):
                return await self._host.authority().issue_client(
                    csr, grant_id=row["grant_id"], subject_id=row["subject_id"], not_after=ends
                )
        except TimeoutError:
            raise Unavailable("the certificate authority does not answer; the token is not spent") from None

    async def _describe(self, row: Any) -> dict[str, Any]:
        user = await self._host.identity.user(row["subject_id"])
        scope = parse_scope(row["scope"])
        teams = await self._host.identity.teams_of(user.id)
        return {
            "gateway": self._host.gateway_name,
            "peer": row["peer_name"],
            "grant_id": str(row["grant_id"]),
            "subject": {"id": str(user.id), "username": user.username},
            "resources": [name for name in scope.resources if scope.allows(name)],
            "scope": scope.model_dump(mode="json"),
            "scope_in_words": in_words(scope, teams),
            "expires_at": row["expires_at"].isoformat(),
            "ca_sha256": fingerprint(await self._host.authority().root()),
        }

    async def _certificate(self, issued: IssuedCertificate) -> dict[str, Any]:
        return {
            "url": str(self._host.settings(Settings).url),
            "chain": issued.chain.decode("ascii"),
            "ca": (await self._host.authority().root()).decode("ascii"),
            "not_after": issued.not_after.isoformat(),
        }

    async def _record(
        self, row: Any, serial: str, outcome: str, hashed: bytes, started: int, request_id: str
    ) -> None:
        event = AuditEvent(
            peer=row["peer_name"],
            grant_id=row["grant_id"],
            subject_id=row["subject_id"],
            serial=serial,
            verb="enroll",
            resource="",
            query_hash=hashed.hex(),
            outcome=outcome,
            rows=0,
            bytes_out=0,
            latency_us=(time.perf_counter_ns() - started) // 1000,
            request_id=request_id,
        )
        await self._host.audit().record(event)


def _known(row: Any | None) -> Any:
    if row is None:
        raise NotFound(
            "this enrollment URL is not known here",
            remedy="check that it was copied whole; else ask the gateway's admin for a new one",
        )
    return row


def _check(row: Any) -> None:
    reasons = (
        (row["status"] == "revoked", "the grant was revoked"),
        (row["spent"], "this enrollment URL was used already"),
        (row["subject_disabled"], "the grant's subject is no longer a user there"),
        (
            row["lapsed"] or row["grant_lapsed"] or row["status"] != "pending",
            "this enrollment URL has expired",
        ),
    )
    for applies, reason in reasons:
        if applies:
            raise Gone(reason, remedy="ask the gateway's admin for a new grant")
