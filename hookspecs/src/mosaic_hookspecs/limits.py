"""Who counts as one client, and the refusal of one that asks too often."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from mosaic_hookspecs.errors import TooMany
from mosaic_hookspecs.protocols import Limiter
from mosaic_hookspecs.types import Rate

_ONE_HOME = 64  # bits: whoever has one IPv6 address has at least such a network of them


def client_of(client: Sequence[Any] | None) -> str:
    """The client of an ASGI scope as a limiter's key: its IPv4 address, or its IPv6 network."""
    return _place(str(client[0]) if client else "")


@lru_cache(maxsize=4096)  # the same few ask again and again
def _place(text: str) -> str:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ip_network((address, _ONE_HOME), strict=False).network_address)
    return str(address)


async def refuse_over(limiter: Limiter, rate: Rate, client: Sequence[Any] | None, detail: str) -> None:
    """Count one event of ``client``. Raises :class:`TooMany` with ``detail``, and :class:`Unavailable`."""
    await refuse_key_over(limiter, rate, client_of(client), detail)


async def refuse_key_over(limiter: Limiter, rate: Rate, key: str, detail: str) -> None:
    """Count one event of whatever ``key`` stands for. Raises as :func:`refuse_over` does."""
    decision = await limiter.take(key, rate)
    if not decision.allowed:
        raise TooMany(detail, retry_after=decision.retry_after, rate=rate)
