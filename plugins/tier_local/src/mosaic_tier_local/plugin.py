"""What this plugin offers: the tier ``local``, its storage ``embedded``, and what needs no other service."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import MigrationSet, Tier
from mosaic_tier_local.settings import Settings

if TYPE_CHECKING:
    from mosaic_hookspecs.protocols import Cache, Host, Limiter, Queue, Storage


@hookimpl
def mosaic_settings() -> type[Settings]:
    """Who Postgres runs as."""
    return Settings


@hookimpl
def mosaic_tiers() -> Iterable[Tier]:
    """One gateway, one machine, nothing else to install."""
    return [
        Tier("local", storage="embedded", summary="embedded Postgres, one machine", ready_when=("database",))
    ]


@hookimpl
def mosaic_storages(host: Host) -> Iterable[Storage]:
    """Postgres below the gateway's data directory."""
    from mosaic_tier_local.storage import EmbeddedStorage

    return [EmbeddedStorage(host.data_dir, host.settings(Settings), host.storage_target)]


@hookimpl
def mosaic_migrations() -> Iterable[MigrationSet]:
    """Tables of the queue."""
    return [MigrationSet("tier_local", "mosaic_tier_local.migrations")]


@hookimpl
def mosaic_queues(host: Host) -> Iterable[Queue]:
    """Jobs in a table."""
    from mosaic_tier_local.queue import own_queue

    return [own_queue(host)]


@hookimpl
def mosaic_caches(host: Host) -> Iterable[Cache]:
    """Memory, kept true by NOTIFY."""
    from mosaic_tier_local.cache import MemoryCache

    return [MemoryCache(host)]


@hookimpl
def mosaic_limiters() -> Iterable[Limiter]:
    """Memory."""
    from mosaic_tier_local.limiter import MemoryLimiter

    return [MemoryLimiter()]
