"""What an admitted request passes before any row is read: rates, a place, and the policies of plugins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from mosaic_federation.limits import Limits, policy_of
from mosaic_federation.settings import Settings
from mosaic_federation.turnstile import Full, Turnstile
from mosaic_hookspecs.errors import Denied, Fault, MosaicError, TooMany
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import Answer, PeerRequest

if TYPE_CHECKING:
    from mosaic_federation.gate import Admitted, Asked

_COSTLY = {"search", "audit"}  # the audit log of a grant may be long


class Guard:
    """Of one listener in one process."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._settings = host.settings(Settings)
        limits = self._settings.limits
        self._limits = Limits(host)
        self._policy = lru_cache(maxsize=1024)(partial(policy_of, limits))
        self._places = Turnstile(limits.waiting, limits.patience)
        self._searches = Turnstile(limits.waiting, limits.patience)

    async def run(
        self, admitted: Admitted, asked: Asked, work: Callable[[Admitted], Awaitable[Answer]]
    ) -> Answer:
        """Return what ``work`` answers, with the RateLimit headers that its refusals have, too.

        Raises :class:`TooMany`, :class:`Unavailable` if requests cannot be counted, :class:`Denied`, and what
        ``work`` raises.
        """
        grant = admitted.view.grant_id
        policy = self._policy(admitted.requests_per_minute, admitted.concurrency)
        headers = await self._limits.take(policy, (grant.hex, admitted.peer, asked.address))
        place = grant if admitted.concurrency else admitted.peer
        try:
            async with self._place_of_costly(admitted, asked), self._places.one(place, policy.concurrency):
                await self._refuse_denied(admitted, asked)
                answer = await work(admitted)
                return Answer(answer.body, answer.rows, answer.version, headers)
        except Full as full:
            searching = full.turnstile is self._searches
            name, what = ("searches", "searches") if searching else ("concurrency", "requests")
            raise TooMany(
                f"{full.most} {what} are being answered at once, and no more are",
                remedy="wait for the answers before you ask further",
                faults=[Fault(f"limits.{name}", f"{full.most} {what} at once")],
                headers=headers,
            ) from None
        except MosaicError as refusal:
            refusal.headers = {**headers, **refusal.headers}
            raise

    def _place_of_costly(self, admitted: Admitted, asked: Asked) -> AbstractAsyncContextManager[None]:
        """A place among the searches of the peer, before one among its questions: there it would hold up lists."""
        if asked.verb not in _COSTLY:
            return nullcontext()
        return self._searches.one(admitted.peer, self._settings.limits.searches)

    async def _refuse_denied(self, admitted: Admitted, asked: Asked) -> None:
        request = PeerRequest(
            peer=admitted.peer,
            grant_id=admitted.view.grant_id,
            subject_id=admitted.view.subject_id,
            verb=asked.verb,
            resource=asked.resource,
            address=asked.address,
            at=datetime.now(UTC),
        )
        verdict = await self._host.consult(request, patience=self._settings.policy_timeout)
        if not verdict.allowed:
            raise Denied(verdict.reason, remedy=verdict.remedy)
