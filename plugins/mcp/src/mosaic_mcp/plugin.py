"""What this plugin offers: one route, and how it is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mosaic_hookspecs import hookimpl
from mosaic_mcp.settings import Settings

if TYPE_CHECKING:
    from mosaic_hookspecs.protocols import Host
    from mosaic_hookspecs.types import Mount


@hookimpl
def mosaic_settings() -> type[Settings]:
    """The table ``plugins.mcp``."""
    return Settings


@hookimpl
def mosaic_routes(host: Host) -> list[Mount]:
    """``POST /mcp``, behind API tokens. The SDK is imported here: only by what serves."""
    from mosaic_mcp.route import mount

    return [mount(host)]
