"""The log is what every audit sink has to be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from mosaic_audit.writer import Writer
from mosaic_gateway.database import Pool, open_pool
from mosaic_hookspecs.testing import AuditSinkContract
from mosaic_hookspecs.types import DatabaseLocation

if TYPE_CHECKING:
    from conftest import Log

Make = Callable[[], AbstractAsyncContextManager[Writer]]


class TestLog(AuditSinkContract):
    @pytest.fixture
    def make(self, log: Log) -> Make:
        @asynccontextmanager
        async def make() -> AsyncIterator[Writer]:
            yield log.writer()

        return make

    @pytest.fixture
    def recorded(self, pool: Pool) -> Callable[[UUID], Awaitable[Sequence[str]]]:
        async def recorded(grant_id: UUID) -> list[str]:
            rows = await pool.fetch(
                "SELECT request_id FROM federation_audit_log WHERE grant_id = $1 ORDER BY stream, seq",
                grant_id,
            )
            return [row["request_id"] for row in rows]

        return recorded

    @pytest.fixture
    def broken(self, log: Log, postgres: DatabaseLocation) -> Make:
        """Its database is not there."""

        @asynccontextmanager
        async def make() -> AsyncIterator[Writer]:
            async with open_pool(replace(postgres, database="no_such_database"), lazy=True) as nowhere:
                log.host.database = nowhere
                yield log.writer()

        return make
