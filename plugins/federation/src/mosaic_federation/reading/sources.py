"""Peers as sources beside the gateway's own rows: ``sources=local,peer:*``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mosaic_federation.answers import aside, read_page
from mosaic_federation.peers import Peer, Peers
from mosaic_federation.reading.kept import Question
from mosaic_federation.reading.reader import Reader
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sources import Asked, SourcePage
from mosaic_hookspecs.types import User

AT_ONCE = 8  # questions to one peer of one request: the line is for all users
_LONGEST_CURSOR = 4096  # characters; ours have about 150
_LONGEST_PLACE = (
    1000  # characters of a row's id and of what it is sorted by: both go into our cursor, and that into a URL
)
_NEWEST = "-created_at"  # the order where none is asked for
_MOST_RESOURCES = 50  # of one peer in one search


@dataclass(frozen=True, slots=True)
class PeerSource:
    """One peer."""

    peer: Peer
    reader: Reader
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE), compare=False)

    @property
    def name(self) -> str:
        """The peer's."""
        return self.peer.name

    @property
    def resources(self) -> Sequence[str]:
        """What it last said that it shares."""
        told = self.peer.scope.get("resources")
        names = [name for name in told if isinstance(name, str)] if isinstance(told, list) else []
        return names[:_MOST_RESOURCES]

    async def list(self, resource: str, params: Mapping[str, str], asked: Asked) -> SourcePage:
        """One page of its rows."""
        page = await self._page((resource,), params, asked)
        column = params.get("sort", _NEWEST).removeprefix("-")
        stuck = not page.items and page.next_cursor is not None
        if stuck or any(
            map(_is_long, (value for row in page.items for value in (row["id"], row.get(column))))
        ):
            raise Unavailable(f"peer {self.name!r} sends pages that lead nowhere", remedy="tell its admin")
        return page

    async def search(self, resource: str, params: Mapping[str, str], asked: Asked) -> SourcePage:
        """The best matches in its rows."""
        return await self._page((resource, "search"), params, asked)

    async def _page(self, steps: Sequence[str], params: Mapping[str, str], asked: Asked) -> SourcePage:
        question = Question(self.peer, steps, list(params.items()))
        async with self.turns:
            read = await self.reader.read(
                question, fresh=asked.fresh, within=asked.within, request_id=asked.request_id
            )
        page = await aside(lambda body: read_page(body, f"peer {self.name!r}"), read.body)
        if len(page.next_cursor or "") > _LONGEST_CURSOR:
            raise Unavailable(f"peer {self.name!r} sends pages that lead nowhere", remedy="tell its admin")
        return SourcePage(page.items, page.next_cursor, read.age, read.why_old)


def _is_long(value: Any) -> bool:
    return len(value if isinstance(value, str) else json.dumps(value)) > _LONGEST_PLACE


@dataclass(frozen=True, slots=True)
class PeerSources:
    """All peers of this gateway."""

    host: Host
    kind: str = "peer"

    async def readable_by(self, viewer: User) -> Sequence[PeerSource]:
        """Those that the user may read through, by name."""
        reader = Reader(self.host, viewer.id)
        known = await Peers(self.host.database).all()
        return [PeerSource(peer, reader) for peer in known if peer.readable_by(viewer)]
