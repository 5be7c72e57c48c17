"""Rows that are kept elsewhere, and read beside the gateway's own: what a plugin offers, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from mosaic_hookspecs.errors import MosaicError
from mosaic_hookspecs.types import User


@dataclass(frozen=True, slots=True)
class SourcePage:
    """Rows in the source's own order, as JSON objects that each have an ``id``."""

    items: Sequence[Mapping[str, Any]]
    next_cursor: str | None = None  # the source's own; None: there is no more
    age: float = 0.0  # seconds since the rows left where they live
    why_old: MosaicError | None = None  # why they are old ones, if the source could not be reached


@dataclass(frozen=True, slots=True)
class Asked:
    """How a source is asked."""

    within: float  # seconds in which the answer is of use
    fresh: bool = False  # nothing that was kept, however young
    request_id: str = ""


class Source(Protocol):
    """One place with rows, as one user may read it. ``params`` are a request's query parameters, still as text.

    Raises a :class:`MosaicError` for what it refuses, and :class:`TimeoutError` when ``asked.within`` has passed:
    rows of before, if it has any, go before that.
    """

    @property
    def name(self) -> str:
        """Plain text without a comma; no other of its kind has it."""
        ...

    @property
    def resources(self) -> Sequence[str]:
        """What it is known to share."""
        ...

    async def list(self, resource: str, params: Mapping[str, str], asked: Asked) -> SourcePage:
        """One page: limit, cursor, sort and filters, as the gateway's own lists have them."""
        ...

    async def search(self, resource: str, params: Mapping[str, str], asked: Asked) -> SourcePage:
        """The best matches of ``q`` first, at most ``limit``."""
        ...


class Sources(Protocol):
    """Places of one kind."""

    @property
    def kind(self) -> str:
        """What stands before the colon in ``sources=peer:work``."""
        ...

    async def readable_by(self, viewer: User) -> Sequence[Source]:
        """Those that this user may read, reachable or not, in a fixed order."""
        ...


Status = Literal[
    "ok",  # it has answered, some seconds ago at most
    "stale",  # it could not be reached: these are rows of before
    "timeout",  # it has not answered in time
    "unavailable",  # it could not be reached, or cannot answer now
    "limited",  # too many requests
    "refused",  # it does not let us in any more
    "absent",  # it shares no such resource
    "invalid",  # it does not take these parameters
    "unknown",  # there is no such source, or it is not for this user
]


@dataclass(frozen=True, slots=True)
class Report:
    """One source in an answer."""

    name: str
    status: Status
    rows: int = 0  # of this answer
    latency_ms: float = 0.0
    age_s: float | None = None  # seconds since its rows left where they live; None: it has none here
    detail: str = ""
    remedy: str = ""
    cursor: str | None = None  # goes on with this source alone, where it failed


@dataclass(frozen=True, slots=True)
class Merged:
    """Rows of several sources, each with ``source``, and how each source did."""

    items: Sequence[Mapping[str, Any]]
    sources: Sequence[Report]
    next_cursor: str | None = None


class Everywhere(Protocol):
    """The gateway's own rows, and those of every source that plugins offer, in one answer.

    ``sources`` names them, such as ``local,peer:work,peer:*``; each row has its ``source``, and those of a search
    their ``resource``. A source that fails is told of in the answer. Raises :class:`Malformed`.
    """

    async def list(
        self, viewer: User, resource: str, params: Mapping[str, str], sources: str, asked: Asked
    ) -> Merged:
        """One page, sorted over all sources; ``params`` are a request's query parameters, still as text."""
        ...

    async def search(
        self,
        viewer: User,
        resources: Sequence[str] | None,
        params: Mapping[str, str],
        sources: str,
        asked: Asked,
    ) -> Merged:
        """The best matches of ``q`` in these resources, or, with None, in all that each source shares."""
        ...
