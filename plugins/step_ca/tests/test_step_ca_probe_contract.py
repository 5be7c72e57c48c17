"""The probe is what every probe has to be, of an authority that knows us and of one that does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from mosaic_hookspecs.testing import ProbeContract
from mosaic_hookspecs.types import Probe
from mosaic_step_ca.authority import StepCA
from mosaic_step_ca.plugin import mosaic_probes

if TYPE_CHECKING:
    from conftest import StepCAServer

HostOf = Callable[..., Any]


class TestGreen(ProbeContract):
    @pytest.fixture
    def probe(self, step_ca: StepCAServer, authority: StepCA, host_of: HostOf) -> Probe:
        (probe,) = mosaic_probes(host_of(**step_ca.settings))
        return probe


class TestRed(ProbeContract):
    @pytest.fixture
    def probe(self, step_ca: StepCAServer, host_of: HostOf) -> Probe:
        (probe,) = mosaic_probes(host_of(**step_ca.settings))  # which it does not know
        return probe
