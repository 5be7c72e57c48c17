"""What this plugin offers: the storage ``postgres``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mosaic_hookspecs import hookimpl

if TYPE_CHECKING:
    from mosaic_hookspecs.protocols import Host, Storage


@hookimpl
def mosaic_storages(host: Host) -> Iterable[Storage]:
    """The Postgres that ``storage.url`` names."""
    from mosaic_postgres.storage import PostgresStorage

    return [PostgresStorage(host.storage_target)]
