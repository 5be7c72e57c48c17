"""Questions to a gateway whose workers are hearing of a change: some ask once more."""

from __future__ import annotations

import time

import httpx

KEPT = 1.0  # seconds; what is asked later is answered as things are, even by a worker that hears nothing


def ask_again(client: httpx.Client, path: str) -> httpx.Response:
    """The answer, on the open connection or on a new one if that was ended just when it was used (RFC 9112, 9.6).

    A gateway ends those of a certificate that it no longer admits.
    """
    try:
        return client.get(path)
    except (httpx.RemoteProtocolError, httpx.ReadError):  # it ended, or was reset
        return client.get(path)


def ask_until(client: httpx.Client, path: str, status: int) -> httpx.Response:
    """The answer with this status, that of a grant just changed: word of it takes a moment to reach every worker."""
    until = time.monotonic() + KEPT
    while True:
        asked = time.monotonic()  # and not when the answer came: the machine may be busy
        answer = ask_again(client, path)
        if answer.status_code == status:
            return answer
        assert asked < until, answer.text
