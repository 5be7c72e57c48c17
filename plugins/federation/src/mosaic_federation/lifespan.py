"""What federation keeps open while its gateway is up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mosaic_federation.links import open_links
from mosaic_federation.served import watch_listener
from mosaic_federation.standings import open_standings
from mosaic_hookspecs.protocols import Host


@asynccontextmanager
async def open_federation(host: Host) -> AsyncIterator[None]:
    """Connections to peers, what is known of grants, and the listener that goes by them."""
    async with open_standings(host), open_links(host), watch_listener(host):
        yield
