"""A probe in trouble is what every probe has to be. All of them on a quiet gateway: `mosaic plugins check`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from mosaic_federation.probes import certificate_probes
from mosaic_federation.server_identity import listener_tls
from mosaic_hookspecs.testing import ProbeContract
from mosaic_hookspecs.types import Probe

if TYPE_CHECKING:
    from conftest import World


class TestRed(ProbeContract):
    @pytest.fixture
    async def probe(self, world: World) -> Probe:
        await listener_tls(world.host)
        ended = datetime.now(UTC) - timedelta(days=1)
        await world.pool.execute("UPDATE federation_server_identity SET not_after = $1", ended)
        return {probe.name: probe for probe in certificate_probes(world.host)}["federation listener"]
