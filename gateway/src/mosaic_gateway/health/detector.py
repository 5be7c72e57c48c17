"""At boot: may this gateway start here? Nothing is started, and nothing changed, before it may."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from mosaic_gateway.compose import Owned
from mosaic_gateway.health.database import Opener, database_probes, vector_probe
from mosaic_gateway.health.probes import HOST, Checked, run_probes
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.types import DatabaseLocation, Tier


async def detect(tier: Tier, location: DatabaseLocation, probes: Sequence[Owned], *, vector: bool) -> None:
    """Probe the tier's services, all at once, 5 s each.

    Raises :class:`Unavailable` for the first that the tier cannot do without, Postgres before all others.
    """

    @asynccontextmanager
    async def here() -> AsyncIterator[DatabaseLocation]:
        yield location

    reopen: Opener = here
    own = [*database_probes(location), *([vector_probe(location, reopen)] if vector else [])]
    needed = [each for each in probes if each.probe.standalone and each.probe.name in tier.ready_when]
    refuse_red(await run_probes([*(Owned(HOST, probe) for probe in own), *needed]))


def refuse_red(checked: Sequence[Checked]) -> None:
    """Raise :class:`Unavailable` for the first red finding."""
    for each in checked:
        if each.finding.status == "red":
            raise Unavailable(f"not ready: {each.name}: {each.finding.detail}", remedy=each.finding.remedy)
