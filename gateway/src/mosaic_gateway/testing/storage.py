"""What :class:`mosaic_hookspecs.testing.StorageContract` asks a Postgres by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mosaic_hookspecs.protocols import Queries
    from mosaic_hookspecs.types import DatabaseLocation


@asynccontextmanager
async def connected(location: DatabaseLocation) -> AsyncIterator[Queries]:
    """A connection of the gateway's own making. Raises :class:`Unavailable`."""
    from mosaic_gateway.database import open_pool

    async with open_pool(location, size=1) as pool:
        yield pool
