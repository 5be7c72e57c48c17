"""What runs: the objects that hooks return, and what the host offers to plugins."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence, Set
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from uuid import UUID

    from pydantic import BaseModel

    from mosaic_hookspecs.audit import AuditCheckpoint, AuditRow
    from mosaic_hookspecs.metrics import Metrics
    from mosaic_hookspecs.sources import Everywhere
    from mosaic_hookspecs.types import (
        Answer,
        AuditDirection,
        AuditEvent,
        DatabaseLocation,
        Decision,
        Explanation,
        FailedJob,
        IssuedCertificate,
        Job,
        PeerRequest,
        QueueTarget,
        Rate,
        Resource,
        StorageTarget,
        Survey,
        Team,
        Tier,
        User,
        Verdict,
        Viewer,
    )

S = TypeVar("S", bound="BaseModel")
T = TypeVar("T")


class Storage(Protocol):
    """Answers one question: where is Postgres?"""

    name: str

    def open(self, *, serving: bool) -> AbstractAsyncContextManager[DatabaseLocation]:
        """Make Postgres reachable for as long as the context is entered.

        ``serving`` is true for the gateway itself, which must own the storage; a command joins a running
        one, or brings it up for its own duration. Raises :class:`Unavailable` or :class:`ConfigError`.
        """
        ...


class Queries(Protocol):
    """SQL with asyncpg's parameters (``$1``) and results. Raises asyncpg's errors."""

    async def fetch(self, query: str, *args: Any) -> list[Any]: ...
    async def fetchrow(self, query: str, *args: Any) -> Any | None: ...
    async def fetchval(self, query: str, *args: Any) -> Any: ...
    async def execute(self, query: str, *args: Any) -> str: ...
    async def executemany(self, query: str, args: Sequence[Sequence[Any]]) -> None: ...


class Discovery(Protocol):
    """Finds resources that are described by the database itself."""

    async def find(self, queries: Queries) -> Sequence[Resource]:
        """Return them, their views made. Raises :class:`ConfigError` that says what is not as it was configured.

        Awaited again at each start: what stands as it should is left as it is.
        """
        ...


class Database(Queries, Protocol):
    """The pool. Each call takes a connection for its own duration."""

    def transaction(self) -> AbstractAsyncContextManager[Queries]:
        """Run several statements on one connection, all or nothing."""
        ...

    def listen(self, channel: str) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Messages of ``NOTIFY channel`` from now on, on a connection of their own.

        Raises :class:`Unavailable` when that connection is lost; what was sent meanwhile is lost too.
        """
        ...


class Queue(Protocol):
    """Jobs that outlive the process that asked for them. Methods raise :class:`Unavailable`."""

    name: str

    def open(self) -> AbstractAsyncContextManager[None]:
        """Be usable for as long as the context is entered."""
        ...

    async def enqueue(self, job: Job, data: Mapping[str, Any] | None = None, *, delay: float = 0) -> str:
        """Keep a job until some worker has run it, ``delay`` seconds from now at the earliest; return its id.

        ``data`` is JSON. It is stored as it is: no secret belongs in it.
        """
        ...

    def work(self, jobs: Sequence[Job]) -> AbstractAsyncContextManager[None]:
        """Run jobs in this process while entered, and keep their schedules: of all processes one runs each.

        Leaving lets what is running finish. A job of a process that died is run again by another.
        """
        ...

    async def failed(self) -> list[FailedJob]:
        """Jobs that have used up their attempts, latest first."""
        ...

    async def retry(self, job_id: str) -> None:
        """Give a failed job all its attempts anew. Raises :class:`NotFound`."""
        ...


class PubSub(Protocol):
    """Messages to whoever listens now, in every process of this gateway. At most once."""

    async def publish(self, channel: str, message: str) -> None:
        """Send at most 4,000 bytes. Raises :class:`Unavailable`."""
        ...

    def subscribe(self, channel: str) -> AbstractAsyncContextManager[AsyncIterator[str | None]]:
        """Messages from now on, across lost connections; None says that some may have been missed."""
        ...


class Cache(PubSub, Protocol):
    """Bytes kept near, and forgotten everywhere at once.

    A key that was forgotten never comes back with what was loaded before: at most as long as the news takes
    to a process (milliseconds), and not at all in the one that forgot.
    """

    name: str

    def open(self) -> AbstractAsyncContextManager[None]:
        """Be usable for as long as the context is entered."""
        ...

    async def get(self, key: str, load: Callable[[], Awaitable[bytes | None]], *, ttl: float) -> bytes | None:
        """What is kept for ``key``, else what ``load`` returns, kept for ``ttl`` seconds at most.

        None is not kept. A cache that cannot be reached only means that ``load`` is asked.
        """
        ...

    async def forget(self, *keys: str) -> None:
        """Have every process load these keys anew. Raises :class:`Unavailable` if that cannot be promised."""
        ...


class Limiter(Protocol):
    """Says whether one more event is within a rate."""

    name: str

    def open(self) -> AbstractAsyncContextManager[None]:
        """Be usable for as long as the context is entered."""
        ...

    async def take(self, key: str, rate: Rate) -> Decision:
        """Count one event of ``key``, unless it is refused. Raises :class:`Unavailable`."""
        ...

    async def take_all(self, wanted: Sequence[tuple[str, Rate]]) -> Sequence[Decision]:
        """Count one event of each key, or of none if one of them is refused, all at the same moment.

        A decision for each, in order: ``allowed`` says whether that one had room. The keys of one rate differ.
        Raises :class:`Unavailable`.
        """
        ...


class Sealer(Protocol):
    """Authenticated encryption at rest. ``place`` (table/row/column) is bound in: moved, it does not open."""

    def seal(self, plain: bytes, *, place: str) -> bytes: ...
    def open(self, sealed: bytes, *, place: str) -> bytes:
        """Raise :class:`ConfigError` if the key is missing, or the envelope or its place was changed."""
        ...


class Rows(Protocol):
    """The only way to rows. ``params`` are a request's query parameters, still as text.

    Raises :class:`NotFound` for what is absent, hidden or unknown, :class:`Malformed` for bad parameters.
    """

    def resource(self, name: str) -> Resource: ...
    def names(self) -> tuple[str, ...]: ...
    def modes(self, name: str, viewer: Viewer | None = None) -> tuple[str, ...]: ...
    async def list(self, viewer: Viewer, resource: str, params: Mapping[str, str]) -> Answer: ...
    async def search(self, viewer: Viewer, resource: str, params: Mapping[str, str]) -> Answer: ...
    async def get(self, viewer: Viewer, resource: str, row_id: str) -> Answer: ...
    async def explain(self, viewer: Viewer, resource: str, row_id: str) -> Explanation: ...

    async def survey(self, viewer: Viewer, resource: str, ids: Collection[str]) -> Survey:
        """Count what a viewer would see, and look for rows by the hex SHA-256 of their ids.

        For operators: it reads each visible row, and believes a :class:`GrantView` that no grant on record bears out.
        """
        ...


class Embedder(Protocol):
    """Turns texts into vectors, near each other where the meanings are."""

    name: str
    model: str  # what the vectors of one model have in common; others are made anew when it changes
    dimensions: int  # of every vector; at most 2000
    similarity: float  # least cosine similarity of two texts that have to do with each other, -1 to 1

    async def embed(
        self, texts: Sequence[str], *, kind: Literal["query", "row"]
    ) -> Sequence[Sequence[float]]:
        """Return a vector for each text, in order: of the words looked for, or of rows to be found.

        Cuts a text that is too long for the model. Must not block. Raises :class:`Unavailable`.
        """
        ...


class Identity(Protocol):
    """Who is who on this gateway."""

    async def user(self, name_or_id: str | UUID) -> User:
        """Raise :class:`NotFound` for an unknown or disabled user."""
        ...

    async def teams_of(self, user_id: UUID) -> tuple[Team, ...]: ...


@runtime_checkable
class CertificateAuthority(Protocol):
    """Signs, revokes, and says whom it trusts. Raises :class:`Unavailable` when it cannot be reached."""

    name: str

    async def root(self) -> bytes:
        """The trust anchor, PEM."""
        ...

    async def issue_client(
        self, csr: bytes, *, grant_id: UUID, subject_id: UUID, oid_arc: str, not_after: datetime
    ) -> IssuedCertificate:
        """Sign the key of a PEM CSR for a peer; nothing else of the CSR reaches the certificate.

        ``oid_arc`` is a dotted OID: its ``.1`` names the grant, its ``.2`` the subject, as UTF8String
        otherNames. The certificate ends at ``not_after`` or sooner.
        Raises :class:`Invalid` for a CSR that is malformed, badly signed, or has a weak key.
        """
        ...

    async def issue_server(self, csr: bytes, *, names: Sequence[str]) -> IssuedCertificate:
        """Sign the key of a PEM CSR for a listener reached by these DNS names or IP addresses."""
        ...

    async def revoke(self, serial: str) -> None:
        """Put a serial (lower-case hex) on record as revoked; again, or for an unknown one, does no harm."""
        ...

    async def crl(self) -> bytes | None:
        """The revocation list, DER (RFC 5280), whole and signed; None from an authority that keeps none."""
        ...


class AuditSink(Protocol):
    """Keeps the record. No audit, no answer."""

    async def record(self, event: AuditEvent) -> None:
        """Return only when the event is durable; raise :class:`Unavailable` otherwise."""
        ...


@runtime_checkable
class AuditLog(Protocol):
    """A sink that can be read back, and stands by what it holds with signed checkpoints.

    Methods raise :class:`Unavailable` when it cannot be read.
    """

    async def key(self) -> bytes:
        """The public key (Ed25519, 32 bytes) by which outsiders check this gateway's checkpoints."""
        ...

    async def head(self, *, fresh: bool = False) -> AuditCheckpoint | None:
        """The latest checkpoint, or None before the first; ``fresh`` signs one first if rows wait for it."""
        ...

    async def checkpoint(self, number: int) -> AuditCheckpoint | None:
        """One of them by its number."""
        ...

    def rows_of(
        self,
        grant_id: UUID,
        *,
        since: datetime,
        until: datetime | None = None,
        direction: AuditDirection = "answered",
    ) -> AsyncIterator[AuditRow]:
        """Rows of a grant with ``since <= at < until``, by time: what was answered to it, or asked with it."""
        ...


class ServedListener(Protocol):
    """A listener for as long as this process serves it."""

    async def reload(self) -> None:
        """Ask the listener's ``tls`` anew; connections from now on use what it says, open ones go on.

        Raises what ``tls`` raises, and :class:`ConfigError` for what cannot be used: then all stays as it was.
        """
        ...

    def serials(self) -> Set[str]:
        """Serials (lower-case hex) of the client certificates that have open connections here."""
        ...

    def end(self, serials: Collection[str]) -> None:
        """Close the connections of these client certificates: at once without a request, else within a second."""
        ...


class PeerPolicy(Protocol):
    """Has a say on each request of a peer, after its grant and its limits and before any row is read."""

    name: str

    async def decide(self, request: PeerRequest) -> Verdict:
        """Allow it or deny it. Raising denies, and so does not answering in time: await, never block."""
        ...


class Host(Protocol):
    """What a plugin sees of the gateway. Everything but the first block needs the lifespans to be up."""

    gateway_name: str
    tier: Tier
    data_dir: Path  # 0700, ours
    public_url: str  # where users and enrolling peers reach the public listener; no trailing slash
    storage_target: StorageTarget
    queue_target: QueueTarget
    metrics: Metrics

    database: Database
    sealer: Sealer
    rows: Rows
    sources: Everywhere
    identity: Identity

    def settings(self, model: type[S]) -> S:
        """The calling plugin's own validated settings."""
        ...

    def authority(self) -> CertificateAuthority:
        """The one configured authority. Raises :class:`ConfigError` if there is none."""
        ...

    def queue(self) -> Queue:
        """The tier's queue. Jobs are run in the processes that serve, not in commands."""
        ...

    def cache(self) -> Cache:
        """The tier's cache, which is its pub/sub too."""
        ...

    def limiter(self) -> Limiter:
        """The tier's limiter."""
        ...

    def audit(self) -> AuditSink:
        """All configured sinks as one. Raises :class:`ConfigError` if there is none."""
        ...

    def audit_log(self) -> AuditLog:
        """The first configured sink that can be read back. Raises :class:`ConfigError` if none can."""
        ...

    def listener(self, name: str) -> ServedListener | None:
        """A listener that this process serves now. None in commands, and before and after serving."""
        ...

    async def consult(self, request: PeerRequest, *, patience: float) -> Verdict:
        """What the policies of all plugins say, in order: the first denial is it.

        One that raises, answers no verdict, or takes more than ``patience`` seconds denies; the log names it, and the
        verdict does not.
        """
        ...

    async def notify(self, hook: str, **facts: object) -> None:
        """Tell all plugins that implement ``hook`` at the same time, and wait until they have heard it, or 5 s.

        One that raises or hangs is named in the log, and changes nothing for the others or for the caller.
        """
        ...


class CommandLine(Protocol):
    """What a plugin's click commands find as ``click.get_current_context().obj``.

    A plugin offers commands through the entry-point group ``mosaic.commands``, so that ``mosaic --help``
    need not import the plugin itself. Errors raised as :class:`MosaicError` are printed by the host.
    """

    def run(self, plugin: str, work: Callable[[Host], Awaitable[T]]) -> T:
        """Open the gateway's database and lifespans, await ``work(host)`` as that plugin, close again."""
        ...

    def table(
        self, rows: Sequence[Mapping[str, Any]], *, columns: Sequence[str], as_json: bool, empty: str
    ) -> None:
        """Print rows as a table of ``columns``, or all keys as one JSON array; ``empty`` if there is none."""
        ...

    def record(self, row: Mapping[str, Any], *, as_json: bool) -> None:
        """Print one thing as aligned ``key  value`` lines, or as one JSON object."""
        ...
