"""What this plugin offers: queue ``bullmq``, cache and limiter ``valkey``, and their probe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mosaic_hookspecs import hookimpl
from mosaic_valkey.settings import Settings

if TYPE_CHECKING:
    from mosaic_hookspecs.protocols import Cache, Host, Limiter, Queue
    from mosaic_hookspecs.types import Probe


@hookimpl
def mosaic_settings() -> type[Settings]:
    """The table ``plugins.valkey``."""
    return Settings


@hookimpl
def mosaic_queues(host: Host) -> Iterable[Queue]:
    """Jobs on the BullMQ protocol."""
    from mosaic_valkey.queue import BullMQQueue
    from mosaic_valkey.server import check_url

    check_url(host)
    return [BullMQQueue(host)]


@hookimpl
def mosaic_caches(host: Host) -> Iterable[Cache]:
    """Values near, invalidated by the server; pub/sub."""
    from mosaic_valkey.cache import ValkeyCache

    return [ValkeyCache(host)]


@hookimpl
def mosaic_limiters(host: Host) -> Iterable[Limiter]:
    """One script per decision."""
    from mosaic_valkey.limiter import ValkeyLimiter

    return [ValkeyLimiter(host)]


@hookimpl
def mosaic_probes(host: Host) -> Iterable[Probe]:
    """The server, asked afresh."""
    from mosaic_valkey.probe import valkey_probe

    return [valkey_probe(host)]
