"""The frozen data that hooks register. Data only: behaviour is in the protocols."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from pydantic import BaseModel

from mosaic_hookspecs.errors import ConfigError

if TYPE_CHECKING:
    from quart import Blueprint

    from mosaic_hookspecs.scope import Scope

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")

#: Columns every resource table has beside the fields of its model; see ``make_resource`` in the
#: core migrations. They are set by the gateway, never by a request body (save team and external id).
STANDARD_COLUMNS = ("id", "owner_id", "team_id", "external_id", "created_at", "updated_at", "version")


def check_identifier(value: str, what: str) -> str:
    """Return ``value`` if it is a plain lower-case SQL identifier, else raise :class:`ConfigError`."""
    if not _IDENTIFIER.match(value):
        raise ConfigError(
            f"{what}: {value!r} is not a plain identifier", remedy="use lower-case letters, digits and _"
        )
    return value


@dataclass(frozen=True, slots=True)
class Tier:
    """One way of running a gateway: which storage, what else it needs, what must be green to boot."""

    name: str
    storage: str  # name of a Storage that some plugin offers
    summary: str
    ready_when: tuple[str, ...] = ()  # names of probes


@dataclass(frozen=True, slots=True)
class MigrationSet:
    """SQL files ``NNNN_slug.pre.sql`` / ``.post.sql`` inside an importable package."""

    component: str
    package: str  # dotted name of the package that holds the files


@dataclass(frozen=True, slots=True)
class Resource:
    """A named, typed table with an owner and an optional team.

    ``model`` holds the fields a user may write; its JSON Schema becomes the API's. The table is called
    like the resource and was made with ``make_resource`` (standard columns, indexes, search vector).
    """

    name: str
    model: type[BaseModel]
    summary: str
    search: tuple[str, ...] = ()  # text columns that full-text search covers
    federable: bool = True

    def __post_init__(self) -> None:
        check_identifier(self.name, "resource name")
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


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether a viewer sees a row, and every rule that led there, in words."""

    visible: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DatabaseLocation:
    """Where Postgres is. ``host`` may be the directory of a Unix socket."""

    host: str
    user: str
    database: str
    port: int = 5432
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class TLS:
    """What a listener needs to speak TLS, all PEM. With ``client_roots`` a client certificate is required."""

    chain: bytes
    key: bytes = field(repr=False)
    client_roots: bytes | None = None


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket to serve. ``tls`` is awaited once the lifespans are up; None serves plain HTTP."""

    name: str
    host: str
    port: int
    tls: Callable[[], Awaitable[TLS]] | None = None


@dataclass(frozen=True, slots=True)
class Mount:
    """A Quart blueprint on a named listener. Only ``anonymous`` ones are reached without an API token."""

    listener: str
    blueprint: Blueprint
    anonymous: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe saw. ``detail`` and ``remedy`` are shown as they are: no secret may be in them."""

    status: Literal["green", "yellow", "red"]
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """A named health check; the host bounds its time and turns an exception into a red finding."""

    name: str
    check: Callable[[], Awaitable[Finding]]


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate an authority has signed."""

    chain: bytes  # PEM, leaf first, without the root
    serial: str  # lower-case hex, no leading zeros
    not_after: datetime


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Who asked what, and what left. Never content."""

    peer: str
    grant_id: UUID | None
    subject_id: UUID | None
    serial: str
    verb: Literal["list", "get", "search", "whoami", "enroll", "other"]
    resource: str
    query_hash: str  # hex SHA-256 of the query string or row id
    outcome: str  # "ok" or the problem code of the refusal
    rows: int
    bytes_out: int
    latency_us: int
    request_id: str
