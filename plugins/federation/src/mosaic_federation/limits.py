"""How often peers may ask: per grant, per peer and per address, all three counted in one question to the limiter."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from mosaic_federation.settings import PeerLimits, Settings
from mosaic_hookspecs.errors import Fault, TooMany, Unavailable
from mosaic_hookspecs.gcra import Counts
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import Decision, Rate

log = logging.getLogger("mosaic.federation")

_PERIOD = 60  # seconds
_SAID = {
    "grant": "the grant's limit of {} requests a minute is reached",
    "peer": "this gateway's limit of {} requests a minute of one peer is reached",
    "address": "this gateway's limit of {} requests a minute from one address is reached",
}
_ROOM = ", ".join(f'"{name}";r=%d' for name in _SAID)  # the field RateLimit while there is room everywhere


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for the requests of one grant."""

    rates: tuple[Rate, ...]  # in the order of grant, peer, address
    concurrency: int
    header: str  # RateLimit-Policy


def policy_of(settings: PeerLimits, requests_per_minute: int | None, concurrency: int | None) -> Policy:
    """The limits of a grant that has, or has not, some of its own."""
    limits = {
        "grant": requests_per_minute or settings.requests_per_grant,
        "peer": settings.requests_per_peer,
        "address": settings.requests_per_address,
    }
    most = concurrency or settings.concurrency
    told = [f'"{name}";q={limit};w={_PERIOD}' for name, limit in limits.items()]
    return Policy(
        tuple(Rate(f"federation-{name}", limit, _PERIOD) for name, limit in limits.items()),
        most,
        ", ".join([*told, f'"concurrency";q={most};qu="concurrent-requests"']),
    )


class Limits:
    """Counts the requests of peers."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._settings = host.settings(Settings).limits
        self._here = Counts()
        self._trouble = False

    async def take(self, policy: Policy, keys: Sequence[str]) -> Mapping[str, str]:
        """Count a request of these grant, peer and address; return the RateLimit headers of its answer.

        Raises :class:`TooMany`, with these headers, and :class:`Unavailable` if nothing can be counted and the
        config does not say to count in this process then.
        """
        decisions = await self._decide(list(zip(keys, policy.rates, strict=True)))
        if not all(decision.allowed for decision in decisions):
            raise _refusal(policy, decisions)
        room = _ROOM % tuple([decision.remaining for decision in decisions])
        return {"RateLimit-Policy": policy.header, "RateLimit": room}

    async def _decide(self, wanted: Sequence[tuple[str, Rate]]) -> Sequence[Decision]:
        try:
            decisions = await self._host.limiter().take_all(wanted)
        except Unavailable as error:
            return self._without_limiter(error, wanted)
        if self._trouble:
            self._trouble = False
            log.warning("the requests of peers are counted by the limiter again")
        return decisions

    def _without_limiter(self, error: Unavailable, wanted: Sequence[tuple[str, Rate]]) -> Sequence[Decision]:
        local = self._settings.when_unavailable == "local"
        if not self._trouble:
            self._trouble = True
            done = "counted in each process alone" if local else "refused"
            log.error("the requests of peers are %s until the limiter is back: %s", done, error.detail)
        if local:
            return self._here.take_all(wanted)
        # where the limiter is, and what is wrong with it, is for this gateway's admin
        raise Unavailable(
            "requests cannot be counted here at the moment", remedy="try again; if it lasts, tell its admin"
        ) from None


def _refusal(policy: Policy, decisions: Sequence[Decision]) -> TooMany:
    """By the first of those that have no room."""
    each = zip(_SAID, policy.rates, decisions, strict=True)
    name, limit = next((name, rate.limit) for name, rate, decision in each if not decision.allowed)
    return TooMany(
        _SAID[name].format(limit),
        faults=[Fault(f"limits.{name}", f"{limit} requests in {_PERIOD} s")],
        retry_after=max(decision.retry_after for decision in decisions),
        headers={"RateLimit-Policy": policy.header, "RateLimit": _standing(decisions)},
    )


def _standing(decisions: Sequence[Decision]) -> str:
    """The field RateLimit; ``t`` only where there is no room, in seconds."""
    return ", ".join(
        f'"{name}";r={decision.remaining}'
        + ("" if decision.allowed else f";t={max(1, ceil(decision.retry_after))}")
        for name, decision in zip(_SAID, decisions, strict=True)
    )
