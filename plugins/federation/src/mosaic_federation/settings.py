"""The table ``plugins.federation`` of the config."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from mosaic_federation.grant_limits import Concurrency, PerMinute
from mosaic_hookspecs.models import Model
from mosaic_hookspecs.types import ListenerLimits

if TYPE_CHECKING:
    from yarl import URL

DEFAULT_ARC = "1.3.6.1.4.1.99999"
ARC = r"^[12](\.(0|[1-9]\d{0,9})){3,20}$"  # a dotted OID

_EVERYWHERE = {"0.0.0.0", "::", ""}  # noqa: S104 - recognised, not bound


class ListenLimits(Model):
    """What peers may cost each worker. They send small requests without a body, over few connections."""

    header_bytes: Annotated[int, Field(ge=1024)] = 16 * 1024
    """Largest request line and headers, bytes; more are answered 431."""
    body_bytes: Annotated[int, Field(ge=1)] = 16 * 1024
    """Largest request body, bytes; more are answered 413."""
    idle_seconds: Annotated[float, Field(gt=0)] = 90.0
    """How long a connection may stay open without a request; longer than the 75 s that a peer keeps one."""
    slow_seconds: Annotated[float, Field(gt=0)] = 10.0
    """How long a peer may take to send its headers, to go on with a body, or to take any of its answer."""
    connections: Annotated[int, Field(ge=1)] | None = None
    """Most open connections; more are closed on arrival. Default: `limits.connections`."""
    connections_per_certificate: Annotated[int, Field(ge=1)] = 256
    """Most open connections of one peer's certificate."""
    connections_per_address: Annotated[int, Field(ge=1)] = 500
    """Most open connections of one IPv4 address or IPv6 /64, those without a certificate yet included."""
    handshakes: Annotated[int, Field(ge=4)] = 128
    """Most TLS handshakes at once, a quarter of them with one address; more wait, 5 s at most."""
    handshakes_per_second: Annotated[float, Field(gt=0)] = 200.0
    """Most TLS handshakes in a second (200 take about half a core); more wait, 5 s at most."""
    streams: Annotated[int, Field(ge=1)] = 32
    """Most requests at once on one HTTP/2 connection."""
    requests: Annotated[int, Field(ge=1)] | None = None
    """Most requests under way; more are answered 503 with Retry-After. Default: `limits.requests`."""

    def for_listener(self) -> ListenerLimits:
        """The same in the words of the host."""
        return ListenerLimits(
            max_header_bytes=self.header_bytes,
            max_body_bytes=self.body_bytes,
            keep_alive=self.idle_seconds,
            read_timeout=self.slow_seconds,
            max_connections=self.connections,
            max_per_certificate=self.connections_per_certificate,
            max_per_address=self.connections_per_address,
            max_handshakes=self.handshakes,
            handshake_rate=self.handshakes_per_second,
            max_streams=self.streams,
            max_requests=self.requests,
        )


class Listen(Model):
    """The socket for peers; it asks for their certificate."""

    host: str = "127.0.0.1"
    """Address to bind."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8443
    """TCP port to bind."""
    tls: Literal["1.2", "1.3"] = "1.3"
    """Oldest version of TLS. 1.2 only for a middlebox that does not pass 1.3: it shows certificates in clear."""
    http2: bool = True
    """Whether to speak HTTP/2 beside HTTP/1.1. Gateways among themselves speak HTTP/1.1."""
    limits: ListenLimits = ListenLimits()


class PeerLimits(Model):
    """How much peers may ask. Rates are counted by the tier's limiter: in Valkey for all processes together."""

    requests_per_grant: PerMinute = 6_000
    """Requests a minute with one grant, as many of them at once as `concurrency` allows. A grant may have a rate of
    its own (`mosaic federation grant update --rate`)."""
    requests_per_peer: PerMinute = 12_000
    """Requests a minute with all grants of one peer together."""
    requests_per_address: PerMinute = 24_000
    """Requests a minute from one IPv4 address, or IPv6 network of 64 bits, with whatever grants."""
    refusals_per_address: PerMinute = 300
    """Requests a minute of one address that no grant, or no limit, allows, in each process. More are answered 429 and
    not put in the audit log; the gateway's log tells how many."""
    concurrency: Concurrency = 8
    """Requests of one peer that are answered at once, in each process. A grant may have places of its own
    (`mosaic federation grant update --concurrency`)."""
    searches: Annotated[int, Field(ge=1, le=1000)] = 2
    """Searches of one peer that are answered at once, and questions of its about the audit log, in each process, with
    whatever grants: they cost the database more than lists. Others wait, and are refused, like requests over
    `concurrency`."""
    waiting: Annotated[int, Field(ge=0, le=10_000)] = 32
    """Further requests of one peer that wait until one is answered, in each process; more are answered 429."""
    patience: Annotated[float, Field(ge=0, le=60)] = 2.0
    """How long a request waits so, seconds; then it is answered 429."""
    when_unavailable: Literal["deny", "local"] = "deny"
    """What to do while the limiter cannot be reached: refuse peers (503), or count in each process alone."""


class Reading(Model):
    """How this gateway reads from its peers."""

    cache_seconds: Annotated[float, Field(ge=0, le=60)] = 1.0
    """How long a peer's answer serves the same question again, seconds: as long may rows be shown after the peer has
    taken them back. 0: it is always asked."""
    stale_seconds: Annotated[float, Field(ge=0, le=7 * 86_400)] = 86_400.0
    """How old an answer may be that is shown, as an old one, while its peer cannot be reached, seconds. 0: none is."""
    cache_bytes: Annotated[int, Field(ge=0)] = 16 * 1024 * 1024
    """Most bytes kept of one peer's answers, sealed, in the database."""
    concurrency: Annotated[int, Field(ge=1, le=100)] = 8
    """Questions to one peer at once, in each process; 32 more wait."""


class Settings(Model):
    """How peers reach this gateway."""

    listen: Listen = Listen()
    """The listener for peers, apart from the public one."""
    advertise: (
        Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}$")] | None
    ) = None
    """What peers dial, as `host:port`; default: the listener's own address."""
    enrollment_ttl: Annotated[int, Field(ge=60, le=86_400)] = 900
    """How long an enrollment URL can be used, seconds."""
    oid_arc: Annotated[str, StringConstraints(pattern=ARC)] = DEFAULT_ARC
    """The OIDs of the certificates issued here: `.1` of this arc is the grant, `.2` its subject."""
    limits: PeerLimits = PeerLimits()
    """How much peers may ask."""
    reading: Reading = Reading()
    """How this gateway reads from its peers."""
    policy_timeout: Annotated[float, Field(gt=0, le=60)] = 0.5
    """How long one policy of a plugin may think about a peer's request, seconds; then it is refused."""

    @model_validator(mode="after")
    def _can_be_dialled(self) -> Settings:
        if self.advertise is None and self.listen.host in _EVERYWHERE:
            raise ValueError(
                "advertise: needed because listen.host is every address: say which one peers dial"
            )
        if not (self.url.port if self.advertise else self.listen.port):
            raise ValueError("advertise: expected a port from 1 to 65535")
        return self

    @property
    def url(self) -> URL:
        """Where peers reach the listener."""
        from yarl import URL  # noqa: PLC0415  # most commands need none, and it takes as long as asyncio

        if self.advertise is not None:
            return URL(f"https://{self.advertise}")
        return URL.build(scheme="https", host=self.listen.host, port=self.listen.port)
