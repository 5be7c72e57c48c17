"""Rows that are kept elsewhere, and read beside the gateway's own: what a plugin offers, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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
