"""Whose request it is where a reverse proxy passes it on: the one place that decides.

By hand: Hypercorn's ProxyFixMiddleware counts hops instead of knowing proxies, so that a client who comes past
the proxy could name any address.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Application = Callable[[Any, Any, Any], Awaitable[None]]


def behind_proxies(app: Any, trusted: Sequence[Network]) -> Any:
    """The ASGI application ``app``, with the client's own address in ``scope["client"]``.

    It is taken from X-Forwarded-For only as far as every hop from here is in ``trusted``: each proxy adds the
    address it was called from on the right, and what stands further left may be anyone's invention.
    """
    if not trusted:
        return app

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if client := scope.get("client"):
            address = _client(client[0], _forwarded(scope["headers"]), trusted)
            if address != client[0]:
                scope = {**scope, "client": (address, 0)}  # its port is not known
        await app(scope, receive, send)

    return application


def _forwarded(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """Hops, the nearest last. Several headers of the name are one list (RFC 9110, 5.3)."""
    values = [value.decode("latin-1") for name, value in headers if name.lower() == b"x-forwarded-for"]
    return ",".join(values).split(",") if values else []


def _client(peer: str, hops: list[str], trusted: Sequence[Network]) -> str:
    known = peer
    address = _address(peer)
    while address and _is_in(address, trusted) and hops:
        address = _address(hops.pop())
        known = (
            str(address) if address else known
        )  # a hop that is no address: the proxy stands for its clients
    return known


def _address(text: str) -> Address | None:
    text = text.strip()
    if text.startswith("["):  # [2001:db8::1]:4711
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # 192.0.2.1:4711
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
