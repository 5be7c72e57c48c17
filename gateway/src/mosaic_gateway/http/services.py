"""What the public application needs of the gateway, and nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from mosaic_hookspecs.protocols import Limiter
from mosaic_hookspecs.types import Finding, Mount

if TYPE_CHECKING:
    from mosaic_gateway.identity import Identities
    from mosaic_gateway.resources import ResourceRows
    from mosaic_gateway.sources import Fanout


class PublicServices(Protocol):
    """The parts behind the public listener."""

    @property
    def name(self) -> str:
        """Name of this gateway."""
        ...

    @property
    def version(self) -> str:
        """Version of the software, as the OpenAPI document tells it."""
        ...

    @property
    def rows(self) -> ResourceRows:
        """The only way to rows."""
        ...

    @property
    def sources(self) -> Fanout:
        """The way to rows here and elsewhere at once."""
        ...

    @property
    def source_seconds(self) -> float:
        """How long a request waits for its sources, unless it says."""
        ...

    @property
    def identities(self) -> Identities:
        """Who is who on this gateway."""
        ...

    @property
    def limiter(self) -> Limiter:
        """Counts refused tokens."""
        ...

    @property
    def mounts(self) -> Sequence[Mount]:
        """Blueprints of the plugins; those of other listeners are left out here."""
        ...

    @property
    def max_body_bytes(self) -> int:
        """Largest request body taken, in bytes."""
        ...

    async def ready(self) -> list[tuple[str, Finding]]:
        """Run the probes, each bounded in time; name and finding of each."""
        ...
