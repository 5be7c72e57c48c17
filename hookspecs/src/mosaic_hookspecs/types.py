"""The frozen data that hooks register. Data only: behaviour is in the protocols."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from mosaic_hookspecs.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path
    from ssl import SSLContext

    from pydantic import BaseModel
    from quart import Blueprint

    from mosaic_hookspecs.scope import Scope

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")

#: Columns every resource table has beside the fields of its model; see ``make_resource`` in the
#: core migrations. They are set by the gateway, never by a request body (save team and external id).
STANDARD_COLUMNS = ("id", "owner_id", "team_id", "external_id", "created_at", "updated_at", "version")

#: Names that no resource can have: the listeners have routes of these names where a resource's would be.
ROUTES = frozenset(
    {"admin", "audit", "capabilities", "enroll", "me", "peers", "renew", "resources", "search", "whoami"}
)


def check_identifier(value: str, what: str) -> str:
    """Return ``value`` if it is a plain lower-case SQL identifier, else raise :class:`ConfigError`."""
    if not _IDENTIFIER.match(value):
        raise ConfigError(
            f"{what}: {value!r} is not a plain identifier", remedy="use lower-case letters, digits and _"
        )
    return value


@dataclass(frozen=True, slots=True)
class Tier:
    """One way of running a gateway: which services, where they are by default, what must be green to boot."""

    name: str
    storage: str  # name of a Storage that some plugin offers; the config's storage.type goes before it
    summary: str
    ready_when: tuple[str, ...] = ()  # names of probes
    queue: str = "postgres"  # name of a queue that some plugin offers; the config's queue.type goes before it
    cache: str = "memory"  # name of a cache that some plugin offers
    limiter: str = "memory"  # name of a limiter that some plugin offers
    no_other_queue_because: str = ""  # why no other queue will do; empty: any may be configured
    needs: tuple[str, ...] = ()  # plugins loaded with the tier, before those of the config
    needs_authority: bool = False  # whether it may run without a certificate authority
    storage_url: str | None = None  # where the storage is unless the config says; never a password in it
    queue_url: str | None = None  # the same for the queue
    enable_vector: bool = False  # whether pgvector is wanted unless the config says


@dataclass(frozen=True, slots=True)
class StorageTarget:
    """The storage as the config and the tier have it. Where and how, for the plugin that opens it."""

    type: str
    url: str | None = field(default=None, repr=False)  # may hold a password
    password_file: Path | None = None  # absolute; read on opening, so that it can be changed
    enable_vector: bool = False
    pool: int = 10  # connections


@dataclass(frozen=True, slots=True)
class QueueTarget:
    """The queue as the config and the tier have it."""

    type: str
    url: str | None = field(default=None, repr=False)  # may hold a password
    password_file: Path | None = None  # absolute; read on opening, so that it can be changed


@dataclass(frozen=True, slots=True)
class MigrationSet:
    """SQL files ``NNNN_slug.pre.sql`` / ``.post.sql`` inside an importable package."""

    component: str
    package: str  # dotted name of the package that holds the files
    needs_vector: bool = False  # applied only where storage.enable_vector is on


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A ``bytea`` column whose values ``host.sealer`` sealed; NULL is allowed."""

    table: str
    column: str
    key: str  # column that tells the rows apart, such as ``id``
    place: str  # what each was sealed for, with the key in braces: ``federation_peers/{id}/key``

    def __post_init__(self) -> None:
        for name in (self.table, self.column, self.key):
            check_identifier(name, "sealed column")
        if self.place.count(f"{{{self.key}}}") != 1:
            raise ConfigError(
                f"sealed column {self.table}.{self.column}: its place does not name {{{self.key}}} once"
            )

    def place_of(self, key: object) -> str:
        """The place of one row's value."""
        return self.place.replace(f"{{{self.key}}}", str(key))


@dataclass(frozen=True, slots=True)
class Resource:
    """A named, typed table with an owner and an optional team.

    ``model`` holds the fields a user may write; its JSON Schema becomes the API's. The table is called
    like the resource and was made with ``make_resource`` (standard columns, indexes, search vector).

    With ``view`` it is a view instead, made with ``make_view``: it is only read, and has all standard columns, but not
    in ``without`` (times that its rows do not have) for anybody to see.
    """

    name: str
    model: type[BaseModel]
    summary: str
    search: tuple[str, ...] = ()  # text columns that full-text search covers
    federable: bool = True
    view: bool = False
    without: frozenset[str] = frozenset()  # standard columns that are not there; for views alone

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that somebody may see, the standard ones first."""
        return (*(name for name in STANDARD_COLUMNS if name not in self.without), *self.model.model_fields)

    def __post_init__(self) -> None:
        check_identifier(self.name, "resource name")
        if self.name in ROUTES:
            raise ConfigError(
                f"resource {self.name!r} has the name of a route, and nobody could ask for it",
                remedy=f"rename it: anything but {', '.join(sorted(ROUTES))}",
            )
        for column in (*self.model.model_fields, *self.search):
            check_identifier(column, f"resource {self.name}: field")
        if clash := sorted(set(STANDARD_COLUMNS) & set(self.model.model_fields)):
            raise ConfigError(f"resource {self.name}: fields {clash} are kept by the gateway itself")


@dataclass(frozen=True, slots=True)
class User:
    """A viewer who sees their personal rows and those of their teams."""

    id: UUID
    username: str
    admin: bool = False


@dataclass(frozen=True, slots=True)
class Team:
    """A team, as a member sees it."""

    id: UUID
    slug: str
    name: str


@dataclass(frozen=True, slots=True)
class GrantView:
    """A viewer who sees what the subject user sees, narrowed by a scope. Read only."""

    grant_id: UUID
    subject_id: UUID
    scope: Scope


Viewer = User | GrantView


@dataclass(frozen=True, slots=True)
class Answer:
    """One JSON answer, as the bytes Postgres built."""

    body: bytes
    rows: int
    version: int | None = None  # of a single row; its ETag
    headers: Mapping[str, str] = field(default_factory=dict)  # further ones of the response


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether a viewer sees a row, and every rule that led there, in words."""

    visible: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """How much of a resource a viewer sees."""

    rows: int
    known: frozenset[str]  # those of the ids asked for, as hex SHA-256, that are among them


@dataclass(frozen=True, slots=True)
class DatabaseLocation:
    """Where Postgres is. ``host`` may be the directory of a Unix socket."""

    host: str
    user: str
    database: str
    port: int = 5432
    password: str | None = field(default=None, repr=False)
    ssl: SSLContext | str | None = (
        None  # a context, or "disable", "allow" or "prefer" as in libpq; None: prefer
    )


@dataclass(frozen=True, slots=True)
class TLS:
    """What a listener needs to speak TLS. With ``client_roots`` a client certificate is required."""

    chain: bytes  # PEM, leaf first
    key: bytes = field(repr=False)  # PEM
    client_roots: bytes | None = None  # PEM
    # DER (RFC 5280): the clients it lists are refused, and all of them from its nextUpdate on. None: no list
    client_crl: bytes | None = field(default=None, repr=False)
    minimum: Literal["1.2", "1.3"] = "1.3"


@dataclass(frozen=True, slots=True)
class ListenerLimits:
    """What the clients of one listener may cost each process; times are seconds. None: what the gateway allows."""

    max_header_bytes: int | None = None  # of one request, its request line included
    max_body_bytes: int | None = None
    keep_alive: float | None = None  # a connection without a request
    read_timeout: float | None = None  # all headers; between two pieces of a body; taking any of an answer
    max_connections: int | None = None
    max_per_certificate: int | None = None  # connections of one client certificate
    max_per_address: int | None = None  # connections of one IPv4 address or IPv6 /64
    max_handshakes: int | None = None  # TLS handshakes at once
    handshake_rate: float | None = None  # TLS handshakes in a second
    max_streams: int | None = None  # requests at once on one h2 connection
    max_requests: int | None = None  # requests at once; more are answered 503


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket to serve.

    ``tls`` is awaited once the lifespans are up, and again whenever the plugin asks with
    ``host.listener(name).reload()``; None serves plain HTTP.
    """

    name: str
    host: str
    port: int
    tls: Callable[[], Awaitable[TLS]] | None = None
    http2: bool = True  # beside HTTP/1.1
    limits: ListenerLimits = ListenerLimits()


@dataclass(frozen=True, slots=True)
class QuickRequest:
    """A GET without a body, before any routing."""

    path: str
    query: bytes  # what follows the question mark, as it came
    request_id: str
    client: Sequence[Any] | None  # address and port
    certificate: bytes | None  # the client's, DER


Quick = Callable[[QuickRequest], Awaitable[Answer] | None]


@dataclass(frozen=True, slots=True)
class Mount:
    """A Quart blueprint on a named listener. Only ``anonymous`` ones are reached without an API token.

    ``openapi`` says what its routes on ``public`` are: an OpenAPI 3.1 document with ``paths`` and, for what they
    refer to, ``components.schemas``. It may refer to the gateway's ``#/components/responses/Problem404`` and its
    like; the problems that any route may answer are added.

    ``quick`` answers the most frequent requests of the listener ahead of Quart, exactly as the blueprint would, and
    guards itself; for any other it returns None. Only listeners other than ``public`` have it.
    """

    listener: str
    blueprint: Blueprint
    anonymous: bool = False
    openapi: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    quick: Quick | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe saw. ``detail`` and ``remedy`` are shown, redacted: no secret may be in them.

    ``fix`` does what ``remedy`` says; only for what is safe. `mosaic gateway doctor --fix` asks, then awaits it.
    """

    status: Literal["green", "yellow", "red"]
    detail: str
    remedy: str = ""
    fix: Callable[[], Awaitable[None]] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Probe:
    """A named health check; the host bounds its time and turns an exception into a red finding.

    ``standalone`` ones need nothing but the config: they run before anything is started, and while the
    database cannot be reached. The others may use ``host.database``, ``host.identity`` and ``host.sealer``, and
    none may rely on its plugin's lifespan: the doctor enters none.
    """

    name: str
    check: Callable[[], Awaitable[Finding]]
    standalone: bool = False


_JOB_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}(\.[a-z][a-z0-9_]{0,31})*\Z")


@dataclass(frozen=True, slots=True)
class Job:
    """Background work: what to run, when by itself, and how often to try.

    ``run`` is given what it was enqueued with. It may be run again after a crash or a failure: a second run
    must do no harm. What it raises as a :class:`MosaicError` is shown by `mosaic jobs list --failed`.
    """

    name: str  # ``plugin.what``
    run: Callable[[Mapping[str, Any]], Awaitable[None]]
    every: float | None = None  # seconds between runs on a schedule; None: only when enqueued
    attempts: int = 5
    backoff: float = 1.0  # seconds before the second attempt; each further one waits twice as long
    timeout: float = 60.0  # seconds for one attempt

    def __post_init__(self) -> None:
        if not _JOB_NAME.match(self.name):
            raise ConfigError(f"job {self.name!r}: not a name", remedy="call it like plugin.what_it_does")
        if self.attempts < 1 or min(self.backoff, self.timeout, 1 if self.every is None else self.every) <= 0:
            raise ConfigError(f"job {self.name}: attempts and times are positive", remedy="mend the job")


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A job whose last attempt failed. It stays for 30 days, or until it is retried."""

    id: str
    job: str
    attempts: int
    error: str  # a MosaicError's detail, or only the class of another exception
    failed_at: datetime


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``limit`` at once, and ``limit`` in each ``period`` from then on, evenly (GCRA)."""

    name: str  # part of the key, and of the RateLimit headers
    limit: int
    period: float  # seconds


@dataclass(frozen=True, slots=True)
class Decision:
    """What a limiter says of one event."""

    allowed: bool
    remaining: int  # events that would be allowed right now
    retry_after: float  # seconds until one is allowed; 0 if this one was


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate an authority has signed."""

    chain: bytes  # PEM, leaf first, without the root
    serial: str  # lower-case hex, no leading zeros
    not_after: datetime


AuditVerb = Literal[
    "list", "get", "search", "whoami", "capabilities", "renew", "audit", "offer", "enroll", "other"
]
AuditDirection = Literal["answered", "asked"]  # a peer asked us, or we asked it: then "out" is what came in


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Who asked what, and what left. Never content."""

    peer: str
    grant_id: UUID | None
    subject_id: UUID | None
    serial: str
    verb: AuditVerb
    resource: str
    query_hash: str  # hex SHA-256 of the query string or row id
    outcome: str  # "ok" or the problem code of the refusal
    rows: int
    bytes_out: int
    latency_us: int
    request_id: str
    trace_id: str = ""  # W3C Trace Context: 32 lower-case hex digits, or none
    direction: AuditDirection = "answered"


PeerVerb = Literal["list", "get", "search", "whoami", "capabilities", "renew", "audit", "other"]


@dataclass(frozen=True, slots=True)
class PeerRequest:
    """What a peer asks for, as a policy sees it: its certificate and grant are good, and it is within its limits."""

    peer: str  # what this gateway calls it
    grant_id: UUID
    subject_id: UUID
    verb: PeerVerb
    resource: str  # as it was asked for; empty for what is of no resource
    address: str  # IPv4 address, or IPv6 network of 64 bits; "unknown" where it is not known
    at: datetime  # UTC


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy says of a request. Made with :meth:`allow` or :meth:`deny`."""

    allowed: bool
    reason: str = ""
    remedy: str = ""

    @classmethod
    def allow(cls) -> Verdict:
        """Nothing to say against it."""
        return _ALLOWED

    @classmethod
    def deny(cls, reason: str, *, remedy: str = "") -> Verdict:
        """Refuse it. The peer is told both, so nothing internal may be in them."""
        return cls(False, reason, remedy)


_ALLOWED = Verdict(True)


GrantChange = Literal[
    "created", "enrolled", "updated", "reissued", "quarantined", "released", "revoked", "expired"
]


@dataclass(frozen=True, slots=True)
class GrantNotice:
    """A grant, right after a change."""

    grant_id: UUID
    subject_id: UUID
    peer: str  # what this gateway calls it
    change: GrantChange
    version: int  # of the grant, from this change on
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class PeerNotice:
    """Another gateway that may read here through a grant, or no longer may."""

    peer: str  # what this gateway calls it
    gateway: str | None  # what it calls itself
    grant_id: UUID
    subject_id: UUID
    serial: str | None  # of its certificate, lower-case hex
