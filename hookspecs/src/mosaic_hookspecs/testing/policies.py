"""What every policy for peers has to do."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import UUID, uuid4

from mosaic_hookspecs.protocols import PeerPolicy
from mosaic_hookspecs.types import PeerRequest, PeerVerb, Verdict

_PATIENCE = 0.5  # seconds; what a gateway gives by default
_ADDRESSES = ("192.0.2.1", "2001:db8::", "unknown")


def peer_request(
    *,
    peer: str = "partner",
    grant_id: UUID | None = None,
    subject_id: UUID | None = None,
    verb: PeerVerb = "list",
    resource: str = "tasks",
    address: str = "192.0.2.1",
    at: datetime | None = None,
) -> PeerRequest:
    """A request such as a gateway shows to policies."""
    ids = (grant_id or uuid4(), subject_id or uuid4())
    return PeerRequest(peer, *ids, verb, resource, address, at or datetime.now(UTC))


class PolicyContract:
    """Inherit from this and give it three fixtures: ``policy``, and requests that it has to find ``allowed`` and
    ``denied``, such as :func:`peer_request` makes."""

    def test_it_has_a_name(self, policy: PeerPolicy) -> None:
        assert policy.name
        assert policy.name.isprintable()

    async def test_it_allows_and_denies(
        self, policy: PeerPolicy, allowed: PeerRequest, denied: PeerRequest
    ) -> None:
        assert (await policy.decide(allowed)).allowed
        assert not (await policy.decide(denied)).allowed

    async def test_a_denial_tells_the_peer_why(self, policy: PeerPolicy, denied: PeerRequest) -> None:
        verdict = await policy.decide(denied)
        assert verdict.reason
        assert (verdict.reason + verdict.remedy).isprintable()

    async def test_it_decides_on_anything_a_peer_may_ask_and_in_time(self, policy: PeerPolicy) -> None:
        """Whatever the verdict: it is one, and nothing raises."""
        now = datetime.now(UTC)
        for address in _ADDRESSES:
            for verb in get_args(PeerVerb):
                for hours in range(0, 24 * 7, 13):
                    resource = "" if verb == "whoami" else "no_such_resource"
                    at = now + timedelta(hours=hours)
                    request = peer_request(verb=verb, resource=resource, address=address, at=at)
                    async with asyncio.timeout(_PATIENCE):
                        assert isinstance(await policy.decide(request), Verdict)

    async def test_requests_at_once_do_not_disturb_each_other(
        self, policy: PeerPolicy, allowed: PeerRequest, denied: PeerRequest
    ) -> None:
        found = await asyncio.gather(*(policy.decide(each) for each in (allowed, denied) * 20))
        assert [verdict.allowed for verdict in found] == [True, False] * 20
