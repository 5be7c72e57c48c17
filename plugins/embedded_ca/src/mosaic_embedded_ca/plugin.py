"""What the embedded_ca plugin offers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mosaic_embedded_ca.settings import Settings
from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import MigrationSet, SealedColumn

if TYPE_CHECKING:
    from mosaic_hookspecs.protocols import CertificateAuthority, Host


@hookimpl
def mosaic_settings() -> type[Settings]:
    """The table ``plugins.embedded_ca``."""
    return Settings


@hookimpl
def mosaic_migrations() -> Iterable[MigrationSet]:
    """The root and the issued serials."""
    return (MigrationSet("embedded_ca", "mosaic_embedded_ca.migrations"),)


@hookimpl
def mosaic_sealed_columns() -> Iterable[SealedColumn]:
    """The root's key."""
    return (SealedColumn("embedded_ca_authority", "sealed_key", "id", "embedded_ca_authority/{id}/key"),)


@hookimpl
def mosaic_authorities(host: Host) -> Iterable[CertificateAuthority]:
    """The authority ``embedded_ca``."""
    from mosaic_embedded_ca.authority import EmbeddedCA

    return (EmbeddedCA(host),)
