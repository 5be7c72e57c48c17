"""The alert that says why a handshake failed (RFC 8446, section 6.2).

By hand: OpenSSL makes it, and asyncio and uvloop close the connection without sending it (cpython #98078).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class Refused(ssl.SSLError):
    """A handshake that failed, and the alert for the client."""

    def __init__(self, error: ssl.SSLError, alert: bytes) -> None:
        super().__init__(*error.args)
        self.reason = getattr(error, "verify_message", "") or error.reason
        self.alert = alert


class _Handshake(ssl.SSLObject):
    outgoing: ssl.MemoryBIO

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            raise Refused(error, self.outgoing.read()) from error


class AlertingContext(ssl.SSLContext):
    """One whose handshakes fail with :class:`Refused`."""

    sslobject_class = _Handshake

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **named: Any) -> Any:
        """Remember where the alert is going to be."""
        handshake: Any = super().wrap_bio(incoming, outgoing, *args, **named)
        handshake.outgoing = outgoing
        return handshake


@contextmanager
def alerting(client: socket.socket) -> Iterator[None]:
    """Have a handshake that fails while this is entered end with its alert. Raises OSError without a descriptor."""
    with client.dup() as way:  # asyncio closes ``client`` before it lets us know
        try:
            yield
        except Refused as refused:
            with suppress(OSError):  # the client has gone
                way.send(refused.alert)
            raise
