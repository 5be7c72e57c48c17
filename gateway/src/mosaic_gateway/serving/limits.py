"""What one client may cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from mosaic_hookspecs.types import ListenerLimits


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one listener in one process. Times are seconds."""

    max_header_bytes: int = 16 * 1024
    """Of one request, its request line included. Over it: 431, or the end of an h2 connection."""
    max_body_bytes: int = 16 * 1024 * 1024
    """Of one request; kept by the application. Over it: 413."""
    keep_alive: float = 75.0
    """How long a connection may stay open without a request. Longer than what proxies keep (60)."""
    read_timeout: float = 10.0
    """For all headers of a request; between two pieces of its body; for the client to take any of its answer."""
    max_connections: int = 1000
    """Those in their TLS handshake included. More are closed on arrival."""
    max_per_address: int | None = None
    """The same, of one IPv4 address or IPv6 /64. None: behind a proxy, all come from one."""
    max_per_certificate: int | None = None
    """Connections of one client certificate. More are closed after their handshake."""
    max_handshakes: int = 128
    """TLS handshakes at once, a quarter of them with one address; more wait, 5 s at most."""
    handshake_rate: float = 200.0
    """TLS handshakes in a second: half a core. More wait, 5 s at most."""
    max_streams: int = 100
    """Requests at once on one h2 connection. A client that sends more loses it."""
    max_requests: int = 512
    """Requests under way, waiting for the database included. More are answered 503."""
    max_lag: float = 1.0
    """How late the event loop may come to its work before further requests are answered 503."""
    max_unsent: int = 256 * 1024 * 1024
    """Bytes of large answers that clients have not taken yet, on all listeners. Over it, and for the clients of one
    certificate over a quarter of it, further requests are answered 503."""
    drain: float = 10.0
    """What a stop leaves to the requests that are being answered."""

    def narrowed(self, own: ListenerLimits) -> Limits:
        """The same, but for what a listener has of its own."""
        return replace(self, **{name: value for name, value in asdict(own).items() if value is not None})
