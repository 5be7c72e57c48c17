"""The probe is what every probe has to be, with a server and without one."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from mosaic_hookspecs.testing import ProbeContract
from mosaic_hookspecs.types import Probe, QueueTarget
from mosaic_valkey.probe import valkey_probe

SECRET = "hunter2"


class TestGreen(ProbeContract):
    @pytest.fixture
    def probe(self, host: Any) -> Probe:
        return valkey_probe(host)


class TestRed(ProbeContract):
    @pytest.fixture
    def probe(self, new_redis: Callable[..., Any]) -> Probe:
        target = QueueTarget("bullmq", f"redis://:{SECRET}@127.0.0.1:{new_redis().port}/0")
        host: Any = SimpleNamespace(gateway_name="home", queue_target=target, settings=lambda model: model())
        return valkey_probe(host)

    @pytest.fixture
    def secrets(self) -> list[str]:
        return [SECRET]
