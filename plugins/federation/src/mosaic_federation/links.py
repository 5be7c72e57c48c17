"""The links of each gateway that is up. What dials is imported when a peer is first asked: most commands ask none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from mosaic_federation.peers import Peers
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.protocols import Database, Host

if TYPE_CHECKING:
    from mosaic_federation.link import Links

log = logging.getLogger("mosaic.federation")

PEER_REMOVED = "federation.peer_removed"  # a channel

# Told by the gateway's pool: the lifespan opens and closes a place, routes and commands use it.
_open: dict[Database, Links | None] = {}


@asynccontextmanager
async def open_links(host: Host) -> AsyncIterator[None]:
    """Let :func:`links_of` answer for as long as the context is entered."""
    _open[host.database] = None
    listening = asyncio.create_task(_drop_removed(host))
    try:
        yield
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        links = _open.pop(host.database)
        if links is not None:
            await links.close()


async def tell_removed(host: Host) -> None:
    """Have every process close its connections to peers that are no more; unheard, they end when idle."""
    with suppress(Unavailable):
        await host.cache().publish(PEER_REMOVED, "")


async def _drop_removed(host: Host) -> None:
    """A message that was missed is as good as one that came: what counts is the table."""
    async with host.cache().subscribe(PEER_REMOVED) as messages:
        async for _ in messages:
            try:
                if links := _open.get(host.database):
                    await links.keep_only({peer.id for peer in await Peers(host.database).all()})
            except Exception as error:  # whatever it is, the next message is heard
                why = error.detail if isinstance(error, Unavailable) else type(error).__name__
                log.warning("connections to peers that were removed end when they are idle: %s", why)


def links_of(host: Host) -> Links:
    """The links of the gateway that ``host`` is."""
    links = _open[host.database]
    if links is None:
        from mosaic_federation.link import Links  # noqa: PLC0415

        links = _open[host.database] = Links(host)
    return links
