"""A question on a connection that the gateway may be ending, as it does when it admits a certificate no longer."""

from __future__ import annotations

import httpx


def ask_again(client: httpx.Client, path: str) -> httpx.Response:
    """The answer, on the open connection or on a new one if that was ended just when it was used (RFC 9112, 9.6)."""
    try:
        return client.get(path)
    except httpx.RemoteProtocolError:
        return client.get(path)
