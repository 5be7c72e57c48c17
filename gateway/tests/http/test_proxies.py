"""Whose request it is behind a reverse proxy: as far as trusted hops vouch for it, and no further."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mosaic_gateway.config.model import PublicListener
from mosaic_gateway.http import behind_proxies

PROXY, CLIENT, INVENTED = "10.0.0.1", "198.51.100.7", "203.0.113.66"
TRUSTED = [ip_network("10.0.0.0/8"), ip_network("2001:db8:ffff::/48")]


async def seen(peer: str | None, *headers: str, trusted: list[IPv4Network | IPv6Network] = TRUSTED) -> Any:
    """The client that the application sees."""
    scopes = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)

    sent = [(b"x-forwarded-for", header.encode("latin-1")) for header in headers]
    client = (peer, 4711) if peer else None
    await behind_proxies(app, trusted)({"type": "http", "client": client, "headers": sent}, None, None)
    return scopes[0]["client"] and scopes[0]["client"][0]


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        (PROXY, [CLIENT], CLIENT),
        (PROXY, [f"{INVENTED}, {CLIENT}"], CLIENT),  # the client sent a header of its own
        (PROXY, [INVENTED, CLIENT], CLIENT),  # … or the proxy adds a second one
        (PROXY, [f"{INVENTED}, {CLIENT}, 10.0.0.2"], CLIENT),  # two proxies, one behind the other
        (CLIENT, [INVENTED], CLIENT),  # past the proxy: nothing it says is believed
        (CLIENT, [f"{INVENTED}, {PROXY}"], CLIENT),
        (PROXY, [], PROXY),
        (PROXY, [""], PROXY),
        (PROXY, ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),  # a client on the proxies' own network
        (PROXY, [f"{INVENTED}, unknown"], PROXY),
        (PROXY, [f"{INVENTED}, _hidden, 10.0.0.2"], "10.0.0.2"),
        (PROXY, [f"{CLIENT}:51234"], CLIENT),
        ("::ffff:10.0.0.1", [CLIENT], CLIENT),
        (PROXY, [f"::ffff:{CLIENT}"], CLIENT),
        ("2001:db8:ffff::1", ["2001:db8::7"], "2001:db8::7"),
        (PROXY, ["[2001:db8::7]:443"], "2001:db8::7"),
        (None, [CLIENT], None),
    ],
)
async def test_the_client_is_the_first_hop_that_is_not_trusted(
    peer: str | None, headers: list[str], expected: str | None
) -> None:
    assert await seen(peer, *headers) == expected


async def test_by_default_nobody_is_believed() -> None:
    assert await seen(PROXY, CLIENT, trusted=[]) == PROXY


@given(st.text(max_size=60), st.ip_addresses())
async def test_whatever_a_client_sends_its_own_address_is_seen(sent: str, client: Any) -> None:
    """The proxy adds the address it was called from; whatever stands before that was the client's."""
    if client in ip_network("10.0.0.0/8") or client in ip_network("2001:db8:ffff::/48"):
        return
    header = sent.encode("utf-8", "replace").decode("latin-1") + f", {client}"
    assert await seen(PROXY, header) in {str(client), str(getattr(client, "ipv4_mapped", None))}


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "10.0.0.1/8", "proxy.example.org"])
def test_a_setting_that_would_trust_everyone_or_is_no_network_is_refused(network: str) -> None:
    with pytest.raises(ValidationError):
        PublicListener.model_validate({"trusted_proxies": [network]})
