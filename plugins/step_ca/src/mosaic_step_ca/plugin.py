"""What the step_ca plugin offers."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import MigrationSet, Probe, SealedColumn
from mosaic_step_ca.settings import Settings

if TYPE_CHECKING:
    from mosaic_hookspecs.protocols import CertificateAuthority, Host


@hookimpl
def mosaic_settings() -> type[Settings]:
    """The table ``plugins.step_ca``."""
    return Settings


@hookimpl
def mosaic_migrations() -> Iterable[MigrationSet]:
    """The provisioners' keys and the pinned root."""
    return (MigrationSet("step_ca", "mosaic_step_ca.migrations"),)


@hookimpl
def mosaic_sealed_columns() -> Iterable[SealedColumn]:
    """The provisioners' keys."""
    from mosaic_step_ca.store import SEALED

    return (SEALED,)


@hookimpl
def mosaic_authorities(host: Host) -> Iterable[CertificateAuthority]:
    """The authority ``step_ca``."""
    from mosaic_step_ca.authority import StepCA

    return (StepCA(host),)


@hookimpl
def mosaic_lifespan(host: Host) -> AbstractAsyncContextManager[None]:
    """Close the authority's connections at the end."""
    from mosaic_step_ca.authority import closing_authority

    return closing_authority(host)


@hookimpl
def mosaic_probes(host: Host) -> Iterable[Probe]:
    """Whether the authority answers, knows us, and for how long its certificates last."""
    from mosaic_step_ca.probe import authority_probe

    return (authority_probe(host),)
