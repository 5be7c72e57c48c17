"""The links of each gateway that is up. What dials is imported when a peer is first asked: most commands ask none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mosaic_hookspecs.protocols import Database, Host

if TYPE_CHECKING:
    from mosaic_federation.link import Links

# Told by the gateway's pool: the lifespan opens and closes a place, routes and commands use it.
_open: dict[Database, Links | None] = {}


@asynccontextmanager
async def open_links(host: Host) -> AsyncIterator[None]:
    """Let :func:`links_of` answer for as long as the context is entered."""
    _open[host.database] = None
    try:
        yield
    finally:
        links = _open.pop(host.database)
        if links is not None:
            await links.close()


def links_of(host: Host) -> Links:
    """The links of the gateway that ``host`` is."""
    links = _open[host.database]
    if links is None:
        from mosaic_federation.link import Links  # noqa: PLC0415

        links = _open[host.database] = Links(host)
    return links
