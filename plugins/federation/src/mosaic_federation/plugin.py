"""What the federation plugin offers."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING

from mosaic_federation.settings import Settings
from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import Job, Listener, MigrationSet, Mount, Probe

if TYPE_CHECKING:
    from mosaic_hookspecs.protocols import Host


@hookimpl
def mosaic_settings() -> type[Settings]:
    """The table ``plugins.federation``."""
    return Settings


@hookimpl
def mosaic_migrations() -> Iterable[MigrationSet]:
    """Grants, enrollment tokens, peers, and the listener's identity."""
    return (MigrationSet("federation", "mosaic_federation.migrations"),)


@hookimpl
def mosaic_lifespan(host: Host) -> AbstractAsyncContextManager[None]:
    """Open connections to peers."""
    from mosaic_federation.links import open_links

    return open_links(host)


@hookimpl
def mosaic_probes(host: Host) -> Iterable[Probe]:
    """How long certificates last."""
    from mosaic_federation.probes import certificate_probes

    return certificate_probes(host)


@hookimpl
def mosaic_listeners(host: Host) -> Iterable[Listener]:
    """The mTLS listener ``federation``."""
    from mosaic_federation.server_identity import listener_tls

    listen = host.settings(Settings).listen
    return (Listener("federation", listen.host, listen.port, tls=partial(listener_tls, host)),)


@hookimpl
def mosaic_routes(host: Host) -> Iterable[Mount]:
    """What peers ask over mTLS, what enrolling gateways ask, and what users ask of peers."""
    from mosaic_federation.listener import peer_routes
    from mosaic_federation.routes import enrollment_routes, peer_rows_routes

    return (
        Mount("federation", peer_routes(host)),
        Mount("public", enrollment_routes(host), anonymous=True),
        Mount("public", peer_rows_routes(host)),
    )


@hookimpl
def mosaic_jobs(host: Host) -> Iterable[Job]:
    """Lapsed grants, marked as such."""
    from mosaic_federation.expiry import expiry_job

    return (expiry_job(host),)
