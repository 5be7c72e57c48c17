"""The one way in for peers: certificate → grant → answer → audit → out. Deny by default."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal
from uuid import UUID

from mosaic_federation.oids import Claims, read_claims
from mosaic_federation.scopes import parse_scope
from mosaic_federation.settings import Settings
from mosaic_hookspecs.errors import Forbidden, Invalid, MosaicError
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import Answer, AuditEvent, GrantView

Verb = Literal["list", "get", "search", "whoami", "enroll", "other"]

_TRIPPED = "the grant is quarantined: its enrollment URL was used a second time"
# Release 0.1 kept no key, so a copy of its certificates could not be told from them. They last a day.
_NO_KEY = "the certificate was issued before keys were put on record: enroll anew"
_ASK = "ask the admin of the gateway you are reading from for a new grant"
_ASK_AFTER_TRIP = (
    "its certificate may be in other hands: tell the admin of the gateway you are reading from, who looks into it "
    "and then releases or revokes the grant"
)

_sql = load_queries("mosaic_federation", "queries.sql")
_enrollment = load_queries("mosaic_federation", "enrollment.sql")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a peer asks for, as far as the audit log is told."""

    verb: Verb
    resource: str
    query: bytes  # only its hash is kept
    request_id: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """A peer whose certificate and grant agree, at this moment."""

    peer: str
    subject: str
    claims: Claims
    expires_at: datetime | None
    view: GrantView


@dataclass(slots=True)
class _Who:
    """What is known of the asker so far, for the audit row of a refusal."""

    peer: str = ""
    grant_id: UUID | None = None
    subject_id: UUID | None = None
    serial: str = ""


class Gate:
    """Lets a request through to ``work`` and its answer out, or refuses; either way it is on record."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def answer(
        self, certificate: bytes | None, asked: Asked, work: Callable[[Admitted], Awaitable[Answer]]
    ) -> Answer:
        """Return what ``work`` answers, once its audit row is durable.

        Raises :class:`Forbidden` with the reason if certificate and grant do not allow it, what ``work``
        raises, and :class:`Unavailable` if the audit row could not be written: then nothing leaves.
        """
        started = time.perf_counter_ns()
        who = _Who()
        try:
            answer = await work(await self._admit(certificate, who))
        except Exception as failure:
            outcome = failure.code if isinstance(failure, MosaicError) else MosaicError.code
            await self._record(who, asked, outcome, None, started)
            raise
        await self._record(who, asked, "ok", answer, started)
        return answer

    async def _admit(self, certificate: bytes | None, who: _Who) -> Admitted:
        if certificate is None:
            raise Forbidden("no client certificate was shown", remedy="enroll with this gateway first")
        claims = read_claims(certificate, self._host.settings(Settings).oid_arc)
        who.grant_id, who.subject_id, who.serial = claims.grant_id, claims.subject_id, claims.serial
        row = await self._host.database.fetchrow(_sql.admission, claims.grant_id)
        shown = (claims.serial, claims.subject_id, claims.key_sha256)
        if row is None or (row["serial"], row["subject_id"], row["key_sha256"] or claims.key_sha256) != shown:
            raise _refused(await self._why_not_of(claims))
        who.peer = row["peer_name"]
        now = datetime.now(UTC)
        reasons = (
            (row["status"] == "revoked", "the grant was revoked"),
            (row["expires_at"] is not None and row["expires_at"] <= now, "the grant has expired"),
            (row["status"] == "quarantined", _TRIPPED),
            (row["status"] != "active", "the grant is not active"),
            (row["subject_disabled"], "the grant's subject is no longer a user here"),
            (row["key_sha256"] is None, _NO_KEY),
            # TLS looks at these two only when a connection is made
            (claims.not_after <= now, "the certificate has expired"),
            (claims.not_before > now, "the certificate is not valid yet: the clocks differ"),
        )
        for applies, reason in reasons:
            if applies:
                raise _refused(reason)
        try:
            scope = parse_scope(row["scope"])
        except Invalid:
            raise _refused("the grant's scope is not one that this gateway can keep to") from None
        if scope.has_ended(now):
            raise _refused("the grant has expired")
        view = GrantView(row["id"], row["subject_id"], scope)
        return Admitted(row["peer_name"], row["subject"], claims, row["expires_at"], view)

    async def _why_not_of(self, claims: Claims) -> str:
        """Only who holds a certificate of our authority gets this far, and learns only of its own."""
        if await self._host.database.fetchval(_enrollment.certificate_ended, claims.serial, claims.grant_id):
            return "a newer certificate has taken the place of this one"
        return "the certificate does not belong to the grant"

    async def _record(
        self, who: _Who, asked: Asked, outcome: str, answer: Answer | None, started: int
    ) -> None:
        event = AuditEvent(
            peer=who.peer,
            grant_id=who.grant_id,
            subject_id=who.subject_id,
            serial=who.serial,
            verb=asked.verb,
            resource=asked.resource,
            query_hash=sha256(asked.query).hexdigest(),
            outcome=outcome,
            rows=answer.rows if answer else 0,
            bytes_out=len(answer.body) if answer else 0,
            latency_us=(time.perf_counter_ns() - started) // 1000,
            request_id=asked.request_id,
        )
        await self._host.audit().record(event)


def _refused(reason: str) -> Forbidden:
    return Forbidden(reason, remedy=_ASK_AFTER_TRIP if reason == _TRIPPED else _ASK)
