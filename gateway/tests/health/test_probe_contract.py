"""The gateway's own probes are what every probe has to be, with a database and without one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from mosaic_gateway.database import Pool, open_pool
from mosaic_gateway.health import pool_probe
from mosaic_gateway.health.database import database_probes, transport_probe
from mosaic_gateway.health.files import file_probes
from mosaic_hookspecs.testing import ProbeContract
from mosaic_hookspecs.types import DatabaseLocation, Probe


class TestOfDatabase(ProbeContract):
    @pytest.fixture(params=[0, 1, 2])
    def probe(self, postgres: DatabaseLocation, request: pytest.FixtureRequest) -> Probe:
        return [*database_probes(postgres), transport_probe(postgres)][request.param]


class TestOfNoDatabase(ProbeContract):
    @pytest.fixture(params=[0, 1])
    def probe(self, tmp_path: Path, request: pytest.FixtureRequest) -> Probe:
        nowhere = DatabaseLocation(str(tmp_path), "lead", "work", password="hunter2")
        return database_probes(nowhere)[request.param]

    @pytest.fixture
    def secrets(self) -> list[str]:
        return ["hunter2"]


class TestOfPool(ProbeContract):
    @pytest.fixture
    def probe(self, pool: Pool, postgres: DatabaseLocation) -> Probe:
        return pool_probe(pool, postgres)


class TestOfPoolOfNothing(ProbeContract):
    @pytest.fixture
    async def probe(self, postgres: DatabaseLocation) -> AsyncIterator[Probe]:
        gone = replace(postgres, database="no_such_database")
        async with open_pool(gone, lazy=True) as pool:
            yield pool_probe(pool, gone)


class TestOfFiles(ProbeContract):
    """An empty directory, in which the keys are missing."""

    @pytest.fixture(params=[0, 1, 2])
    def probe(self, tmp_path: Path, request: pytest.FixtureRequest) -> Probe:
        return file_probes(tmp_path)[request.param]
