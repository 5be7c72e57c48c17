"""What this plugin offers: the tier ``local`` and its storage ``embedded``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import Tier
from mosaic_tier_local.settings import Settings

if TYPE_CHECKING:
    from mosaic_hookspecs.protocols import Host, Storage


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

    return [EmbeddedStorage(host.data_dir, host.settings(Settings))]
