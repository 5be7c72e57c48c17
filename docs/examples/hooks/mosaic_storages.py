from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.protocols import Host, Storage
from mosaic_hookspecs.types import DatabaseLocation


class OfficePostgres:
    """A server that runs already, reached through its Unix socket."""

    name = "office_postgres"

    @asynccontextmanager
    async def open(self, *, serving: bool) -> AsyncIterator[DatabaseLocation]:
        yield DatabaseLocation(host="/run/postgresql", user="mosaic", database="mosaic")


@hookimpl
def mosaic_storages(host: Host) -> list[Storage]:
    return [OfficePostgres()]
