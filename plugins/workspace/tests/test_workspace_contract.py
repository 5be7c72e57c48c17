"""Tasks and notes are what every resource has to be."""

from __future__ import annotations

import pytest

from mosaic_gateway.resources import ResourceRows
from mosaic_gateway.testing.world import RowsWorld
from mosaic_hookspecs.testing import ResourceContract
from mosaic_migrations import CORE
from mosaic_workspace import plugin
from mosaic_workspace.resources import NOTES, TASKS


@pytest.fixture
def migration_sets():
    return [CORE, *(one for one in plugin.mosaic_migrations() if not one.needs_vector)]


@pytest.fixture
async def world(pool, behind_wall):
    resources = plugin.mosaic_resources()
    async with behind_wall(resources) as peers:
        yield RowsWorld(ResourceRows(pool, resources, lambda: [b"k" * 32], peers), pool)


class TestTasks(ResourceContract):
    @pytest.fixture
    def resource(self):
        return TASKS


class TestNotes(ResourceContract):
    @pytest.fixture
    def resource(self):
        return NOTES
