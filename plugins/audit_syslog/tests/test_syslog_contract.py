"""Over the Unix socket of a real rsyslogd."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from mosaic_audit_syslog.probe import probe as the_probe
from mosaic_audit_syslog.settings import Settings
from mosaic_audit_syslog.sink import Syslog
from mosaic_hookspecs.testing import AuditSinkContract, ProbeContract
from mosaic_hookspecs.types import Probe

Make = Callable[[], AbstractAsyncContextManager[Syslog]]


def opened(address: str) -> Make:
    @asynccontextmanager
    async def make() -> AsyncIterator[Syslog]:
        sink = Syslog(Settings(address=address), "work")
        yield sink
        sink.close()

    return make


class TestSyslog(AuditSinkContract):
    @pytest.fixture
    def make(self, daemon: Any) -> Make:
        return opened(daemon.unix)

    @pytest.fixture
    def recorded(self, daemon: Any) -> Callable[[UUID], Awaitable[Sequence[str]]]:
        async def read(grant: UUID) -> Sequence[str]:
            of_grant = [line for line in daemon.settled() if f'grant_id="{grant}"' in line]
            return [re.findall(r'request_id="(\w+)"', line)[0] for line in of_grant]

        return read

    @pytest.fixture
    def broken(self, tmp_path: Any) -> Make:
        return opened(f"unix://{tmp_path}/nobody")


class TestProbe(ProbeContract):
    @pytest.fixture
    def probe(self, daemon: Any) -> Probe:
        return the_probe(Settings(address=daemon.tcp))


class TestProbeOfNothing(ProbeContract):
    @pytest.fixture
    def probe(self, tmp_path: Any) -> Probe:
        return the_probe(Settings(address=f"unix://{tmp_path}/nobody"))
