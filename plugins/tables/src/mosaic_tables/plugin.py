"""What the tables plugin offers: a resource for each table of the config, and a probe of each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mosaic_hookspecs import hookimpl
from mosaic_tables.settings import Settings

if TYPE_CHECKING:
    from mosaic_hookspecs.protocols import Discovery, Host
    from mosaic_hookspecs.types import Probe


@hookimpl
def mosaic_settings() -> type[Settings]:
    """The table ``plugins.tables``."""
    return Settings


@hookimpl
def mosaic_discoveries(host: Host) -> Iterable[Discovery]:
    """Finds the tables in the catalogue, and makes their views."""
    from mosaic_tables.discovery import Tables

    return (Tables(host.settings(Settings)),)


@hookimpl
def mosaic_probes(host: Host) -> Iterable[Probe]:
    """One for each table: whether it still is what is shared, and has the indexes that help."""
    from mosaic_tables.probe import probes

    return probes(host)
