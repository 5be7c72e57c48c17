"""What goes wrong in a check on purpose."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.protocols import PeerPolicy
from mosaic_hookspecs.testing import peer_request
from mosaic_hookspecs.types import PeerRequest

_ADDRESSES = ("192.0.2.1", "127.0.0.1", "10.1.2.3", "2001:db8::", "unknown")
_HOURS = 24 * 7


class NoDatabase:
    """In the place of one that is away."""

    def __init__(self) -> None:
        self.asked = False

    def __getattr__(self, name: str) -> NoReturn:
        self.asked = True
        raise Unavailable("the database does not answer", remedy="start it")


async def first_denied_and_allowed(policy: PeerPolicy) -> list[PeerRequest | None]:
    """Of requests from several networks in each hour of a week, one that it denies and one that it allows."""
    found: list[Any] = [None, None]
    start = datetime.now(UTC)
    for hour in range(_HOURS):
        for address in _ADDRESSES:
            request = peer_request(address=address, at=start + timedelta(hours=hour))
            allowed = (await policy.decide(request)).allowed
            found[allowed] = found[allowed] or request
        if all(found):
            break
    return found
