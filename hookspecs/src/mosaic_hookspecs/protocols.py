"""What runs: the objects that hooks return, and what the host offers to plugins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable
from uuid import UUID

from pydantic import BaseModel

from mosaic_hookspecs.types import (
    Answer,
    AuditEvent,
    DatabaseLocation,
    Explanation,
    IssuedCertificate,
    Resource,
    Team,
    Tier,
    User,
    Viewer,
)

S = TypeVar("S", bound=BaseModel)
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


class Database(Queries, Protocol):
    """The pool. Each call takes a connection for its own duration."""

    def transaction(self) -> AbstractAsyncContextManager[Queries]:
        """Run several statements on one connection, all or nothing."""
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
    async def list(self, viewer: Viewer, resource: str, params: Mapping[str, str]) -> Answer: ...
    async def search(self, viewer: Viewer, resource: str, params: Mapping[str, str]) -> Answer: ...
    async def get(self, viewer: Viewer, resource: str, row_id: str) -> Answer: ...
    async def explain(self, viewer: Viewer, resource: str, row_id: str) -> Explanation: ...


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
        self, csr: bytes, *, grant_id: UUID, subject_id: UUID, not_after: datetime
    ) -> IssuedCertificate:
        """Sign the key of a PEM CSR for a peer; nothing else of the CSR reaches the certificate.

        Raises :class:`Invalid` for a CSR that is malformed, badly signed, or has a weak key.
        """
        ...

    async def issue_server(self, csr: bytes, *, names: Sequence[str]) -> IssuedCertificate:
        """Sign the key of a PEM CSR for a listener reached by these DNS names or IP addresses."""
        ...

    async def revoke(self, serial: str) -> None: ...


class AuditSink(Protocol):
    """Keeps the record. No audit, no answer."""

    async def record(self, event: AuditEvent) -> None:
        """Return only when the event is durable; raise :class:`Unavailable` otherwise."""
        ...


class Host(Protocol):
    """What a plugin sees of the gateway. Everything but the first block needs the lifespans to be up."""

    gateway_name: str
    tier: Tier
    data_dir: Path  # 0700, ours
    public_url: str  # where users and enrolling peers reach the public listener; no trailing slash

    database: Database
    sealer: Sealer
    rows: Rows
    identity: Identity

    def settings(self, model: type[S]) -> S:
        """The calling plugin's own validated settings."""
        ...

    def authority(self) -> CertificateAuthority:
        """The one configured authority. Raises :class:`ConfigError` if there is none."""
        ...

    def audit(self) -> AuditSink:
        """All configured sinks as one. Raises :class:`ConfigError` if there is none."""
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
