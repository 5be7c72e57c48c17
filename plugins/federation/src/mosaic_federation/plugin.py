"""What the federation plugin offers."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING

from mosaic_federation.settings import Settings
from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import Job, Listener, MigrationSet, Mount, Probe, SealedColumn

if TYPE_CHECKING:
    from mosaic_hookspecs.protocols import Host
    from mosaic_hookspecs.sources import Sources


@hookimpl
def mosaic_settings() -> type[Settings]:
    """The table ``plugins.federation``."""
    return Settings


@hookimpl
def mosaic_migrations() -> Iterable[MigrationSet]:
    """Grants, enrollment tokens, peers, and the listener's identity."""
    return (MigrationSet("federation", "mosaic_federation.migrations"),)


@hookimpl
def mosaic_sealed_columns() -> Iterable[SealedColumn]:
    """Our keys towards peers, and the listener's."""
    return (
        SealedColumn("federation_peers", "sealed_key", "id", "federation_peers/{id}/key"),
        SealedColumn("federation_peers", "sealed_next_key", "id", "federation_peers/{id}/key"),
        SealedColumn("federation_joins", "sealed_key", "id", "federation_peers/{id}/key"),
        SealedColumn("federation_peer_answers", "sealed_body", "key", "federation_peer_answers/{key}/body"),
        SealedColumn(
            "federation_server_identity", "sealed_key", "host", "federation_server_identity/{host}/key"
        ),
    )


@hookimpl
def mosaic_lifespan(host: Host) -> AbstractAsyncContextManager[None]:
    """Connections to peers, and what is known of grants."""
    from mosaic_federation.lifespan import open_federation

    return open_federation(host)


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
    return (
        Listener(
            "federation",
            listen.host,
            listen.port,
            tls=partial(listener_tls, host),
            http2=listen.http2,
            limits=listen.limits.for_listener(),
        ),
    )


@hookimpl
def mosaic_routes(host: Host) -> Iterable[Mount]:
    """What peers ask over mTLS, what enrolling gateways ask, what users ask of peers, and what admins script."""
    from mosaic_federation.admin_openapi import admin_openapi
    from mosaic_federation.admin_routes import PREFIX, STATES, admin_routes
    from mosaic_federation.listener import peer_mount
    from mosaic_federation.openapi import enrollment_openapi, peer_rows_openapi
    from mosaic_federation.routes import enrollment_routes, peer_rows_routes

    return (
        peer_mount(host),
        Mount("public", enrollment_routes(host), anonymous=True, openapi=enrollment_openapi()),
        Mount("public", peer_rows_routes(host), openapi=peer_rows_openapi()),
        Mount("public", admin_routes(host), openapi=admin_openapi(PREFIX, STATES)),
    )


@hookimpl
def mosaic_sources(host: Host) -> Iterable[Sources]:
    """Peers."""
    from mosaic_federation.reading.sources import PeerSources

    return (PeerSources(host),)


@hookimpl
def mosaic_jobs(host: Host) -> Iterable[Job]:
    """What time brings: grants that lapse, certificates that end here or at peers, what the listener goes by."""
    from mosaic_federation.certificates import revocation_job
    from mosaic_federation.expiry import expiry_job
    from mosaic_federation.mutual.asking import heads_job
    from mosaic_federation.renewals import renewal_jobs
    from mosaic_federation.served import listener_job

    return (expiry_job(host), revocation_job(host), listener_job(host), *renewal_jobs(host), heads_job(host))
