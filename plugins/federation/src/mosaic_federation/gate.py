"""The one way in for peers: certificate → grant → answer → audit → out. Deny by default."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from mosaic_federation.guard import Guard
from mosaic_federation.metrics import ANSWERS, BYTES, ROWS
from mosaic_federation.oids import Claims, read_claims
from mosaic_federation.reading.arrivals import Arrivals
from mosaic_federation.reasons import (
    EARLY,
    EXPIRED,
    FOREIGN,
    OVER,
    REVOKED,
    Refusal,
    is_now,
    reason_against,
    refused,
    window,
)
from mosaic_federation.settings import Settings
from mosaic_federation.spans import log_span
from mosaic_federation.standings import standing_of, standings_of
from mosaic_federation.strangers import Strangers
from mosaic_hookspecs.errors import Forbidden, MosaicError, TooMany
from mosaic_hookspecs.protocols import AuditSink, Host
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.tracing import current_trace
from mosaic_hookspecs.types import Answer, AuditEvent, GrantView, PeerVerb

_OVERLAP = (
    60.0  # seconds that a certificate is let in after the next one was first used: for what is under way
)
_LONG = 100_000_000  # ns; who had to wait as long is looked at again

_enrollment = load_queries("mosaic_federation", "enrollment.sql")
_renewal = load_queries("mosaic_federation", "renewal.sql")


class Asked(NamedTuple):
    """What a peer asks for, as far as the audit log is told."""

    verb: PeerVerb
    resource: str
    query: bytes  # only its hash is kept
    request_id: str
    address: str  # of the connection, as the limiter counts it


@dataclass(frozen=True, slots=True)
class Admitted:
    """A peer whose certificate and grant agree, at this moment."""

    peer: str
    subject: str
    claims: Claims
    expires_at: datetime | None
    view: GrantView
    window: tuple[datetime, datetime]  # of time, in which this holds as long as nothing changes
    requests_per_minute: int | None = None  # None: what the config says
    concurrency: int | None = None


@dataclass(slots=True)
class _Who:
    """What is known of the asker so far, for the audit row of a refusal."""

    peer: str = ""
    grant_id: UUID | None = None
    subject_id: UUID | None = None
    serial: str = ""

    def is_of(self, claims: Claims) -> None:
        """It is the one that the certificate names."""
        self.grant_id, self.subject_id, self.serial = claims.grant_id, claims.subject_id, claims.serial


class Gate:
    """Lets a request through to ``work`` and its answer out, or refuses; either way it is on record."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._settings = host.settings(Settings)
        self._metrics = host.metrics
        self._audit: AuditSink | None = None  # composed later than this
        self._guard = Guard(host)
        self._arrivals = Arrivals(host)
        self._strangers = Strangers(self._settings.limits.refusals_per_address)

    async def answer(
        self, certificate: bytes | None, asked: Asked, work: Callable[[Admitted], Awaitable[Answer]]
    ) -> Answer:
        """Return what ``work`` answers, once its audit row is durable.

        Raises :class:`Forbidden` with the reason if certificate and grant do not allow it, what ``work``
        raises, what the guard refuses, and :class:`Unavailable` if the audit row could not be written: then
        nothing leaves. Only of many refusals from one address the later ones are answered without a row.
        """
        started = time.perf_counter_ns()
        who, admitted = _Who(), None

        async def work_by_what_holds(found: Admitted) -> Answer:
            if time.perf_counter_ns() - started > _LONG:
                found = await self._admit(certificate, who)
            return await work(found)

        try:
            admitted = await self._admit(certificate, who)
            self._arrivals.note(admitted.peer)
            answer = await self._guard.run(admitted, asked, work_by_what_holds)
        except Exception as failure:
            if admitted is None and isinstance(failure, Forbidden):
                self._strangers.refuse_over(asked.address)
            if isinstance(failure, TooMany) and self._strangers.are_many(asked.address):
                raise
            outcome = failure.code if isinstance(failure, MosaicError) else MosaicError.code
            await self._record(who, asked, outcome, None, started)
            raise
        await self._record(who, asked, "ok", answer, started)
        return answer

    async def _admit(self, certificate: bytes | None, who: _Who) -> Admitted:
        if certificate is None:
            raise Forbidden("no client certificate was shown", remedy="enroll with this gateway first")
        standings = standings_of(self._host)
        if (admitted := standings.admitted(certificate)) is not None and is_now(admitted.window):
            who.is_of(admitted.claims)
            who.peer = admitted.peer
            return admitted
        claims = read_claims(certificate, self._settings.oid_arc)
        who.is_of(claims)
        if known := standings.refusal(claims):
            who.peer = known.peer
            raise refused(known.reason)
        news = standings.news
        standing = await standing_of(self._host, claims.grant_id)
        reason = reason_against(standing, claims)
        if reason:  # never told from what was kept: it may have changed for the better
            standing = await standing_of(self._host, claims.grant_id, afresh=True)
            reason = reason_against(standing, claims)
        who.peer = standing.peer if standing and standing.held(claims) else ""
        if standing is None or standing.scope is None or reason:
            reason = reason if reason != FOREIGN else await self._why_not_of(claims)
            if reason not in {EXPIRED, OVER, EARLY}:  # no news tell of a clock that is set right
                standings.keep_refusal(claims, Refusal(reason, who.peer), news)
            raise refused(reason)
        view = GrantView(standing.grant_id, standing.subject_id, standing.scope)
        times = (standing.expires_at, view, window(standing, claims))
        own = (standing.requests_per_minute, standing.concurrency)
        admitted = Admitted(standing.peer, standing.subject, claims, *times, *own)
        if standing.is_first_use(claims):
            use = (claims.grant_id, claims.serial, _OVERLAP)
            await self._host.database.execute(_renewal.renewal_use, *use)
        else:
            standings.keep_admitted(certificate, standing, admitted)
        return admitted

    async def _why_not_of(self, claims: Claims) -> str:
        """Only who holds a certificate of our authority gets this far, and learns only of its own."""
        known = (claims.serial, claims.grant_id)
        status = await self._host.database.fetchval(_enrollment.certificate_ended, *known)
        if status is None:
            return FOREIGN
        return REVOKED if status == "revoked" else "a newer certificate has taken the place of this one"

    async def _record(
        self, who: _Who, asked: Asked, outcome: str, answer: Answer | None, started: int
    ) -> None:
        trace = current_trace()
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
            trace_id=trace.trace_id,
        )
        if self._audit is None:
            self._audit = self._host.audit()
        await self._audit.record(event)
        log_span(event, trace)
        self._metrics.add(ANSWERS, 1, outcome)
        if answer:
            self._metrics.add(ROWS, event.rows)
            self._metrics.add(BYTES, event.bytes_out)
