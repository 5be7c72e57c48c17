from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mosaic_disk_probe import plugin

from mosaic_gateway.testing import GatewayWith
from mosaic_hookspecs.testing import ProbeContract
from mosaic_hookspecs.types import Probe


class TestDiskProbe(ProbeContract):
    @pytest.fixture(params=[0, 10**18], ids=["enough", "too little"])
    def probe(self, request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Probe:
        monkeypatch.setattr(plugin, "ENOUGH", request.param)
        [probe] = plugin.mosaic_probes(cast(Any, SimpleNamespace(data_dir=tmp_path)))
        return probe


def test_a_gateway_turns_yellow(gateway_with: GatewayWith, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = gateway_with("disk_probe")
    assert "GB free" in gateway.findings()["disk"].detail
    monkeypatch.setattr(plugin, "ENOUGH", 10**18)
    found = gateway.findings()["disk"]
    assert (found.status, found.remedy) == ("yellow", "make room on this disk")
