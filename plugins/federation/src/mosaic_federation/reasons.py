"""Why a peer is not let in, in the words it is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from mosaic_federation.oids import Claims
from mosaic_federation.standing import Standing
from mosaic_hookspecs.errors import Forbidden, OutOfTime

EXPIRED = "the grant has expired"
REVOKED = "the grant was revoked"
OVER = "the certificate has expired"
EARLY = "the certificate is not valid yet: the clocks differ"
_UNTIMELY = {OVER, EARLY}
FOREIGN = "the certificate does not belong to the grant"
_TRIPPED = "the grant is quarantined: its enrollment URL was used a second time"
# Release 0.1 kept no key, so a copy of its certificates could not be told from them. They last a day.
_NO_KEY = "the certificate was issued before keys were put on record: enroll anew"
_ASK = "ask the admin of the gateway you are reading from for a new grant"
_COMPARE = "compare the clocks of both gateways; once they agree, certificates are renewed in time"
_ASK_AFTER_TRIP = (
    "its certificate may be in other hands: tell the admin of the gateway you are reading from, who looks into it "
    "and then releases or revokes the grant"
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a certificate is not let in, and of which peer it is, as far as that is known."""

    reason: str
    peer: str


def reason_against(standing: Standing | None, claims: Claims) -> str:
    """Why its peer is not let in now, or nothing."""
    held = standing.held(claims) if standing else None
    now = datetime.now(UTC)
    if standing is None or held is None:
        return FOREIGN
    reasons = (
        (standing.status == "revoked", REVOKED),
        (standing.expires_at is not None and standing.expires_at <= now, EXPIRED),
        (standing.status == "quarantined", _TRIPPED),
        (standing.status != "active", "the grant is not active"),
        (standing.subject_disabled, "the grant's subject is no longer a user here"),
        (held.key_sha256 is None, _NO_KEY),
        # TLS looks at these two only when a connection is made
        (claims.not_after <= now, OVER),
        (claims.not_before > now, EARLY),
        (standing.scope is None, "the grant's scope is not one that this gateway can keep to"),
        (standing.scope is not None and standing.scope.has_ended(now), EXPIRED),
        (held.ends_at is not None and held.ends_at <= now, FOREIGN),
    )
    return next((reason for applies, reason in reasons if applies), "")


def window(standing: Standing, claims: Claims) -> tuple[datetime, datetime]:
    """From when, and until when, a peer that is let in now is let in, if nothing changes but the time."""
    held = standing.held(claims)
    ends = (
        claims.not_after,
        standing.expires_at,
        held.ends_at if held else None,
        standing.scope.expires_at if standing.scope else None,
    )
    return claims.not_before, min(end for end in ends if end is not None)


def is_now(window: tuple[datetime, datetime]) -> bool:
    """Whether it is open, by the clock that :func:`reason_against` goes by."""
    return window[0] <= datetime.now(UTC) < window[1]


def refused(reason: str) -> Forbidden:
    """The refusal, with what the peer's admin can do."""
    if reason in _UNTIMELY:
        return OutOfTime(reason, remedy=_COMPARE)
    return Forbidden(reason, remedy=_ASK_AFTER_TRIP if reason == _TRIPPED else _ASK)
