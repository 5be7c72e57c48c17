"""What one client may cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Times are seconds. Limits on bodies are the application's."""

    max_header_bytes: int = 16 * 1024
    """Of one request, its request line included. Over it: 431, or the end of an h2 connection."""
    keep_alive: float = 75.0
    """How long a connection may stay open without a request. Longer than what proxies keep (60)."""
    read_timeout: float = 10.0
    """For all headers of a request; between two pieces of its body; for the client to take any of its answer."""
    max_connections: int = 1000
    """Of one listener in one process, those in their TLS handshake included. More are closed on arrival."""
    drain: float = 10.0
    """What a stop leaves to the requests that are being answered."""
