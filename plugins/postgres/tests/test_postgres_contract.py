"""A Postgres that somebody else runs is what every storage has to be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mosaic_gateway.testing.storage import connected
from mosaic_hookspecs.protocols import Queries
from mosaic_hookspecs.testing import StorageContract
from mosaic_hookspecs.types import DatabaseLocation, StorageTarget
from mosaic_postgres.storage import PostgresStorage

if TYPE_CHECKING:
    from conftest import TcpPostgres


class TestPostgresStorage(StorageContract):
    @pytest.fixture
    async def make(self, server_postgres: TcpPostgres) -> Callable[[], PostgresStorage]:
        target = StorageTarget("postgres", server_postgres.url(await server_postgres.new_database()))
        return lambda: PostgresStorage(target)

    @pytest.fixture
    def connect(self) -> Callable[[DatabaseLocation], AbstractAsyncContextManager[Queries]]:
        return connected

    @pytest.fixture
    def secrets(self, server_password: str) -> list[str]:
        return [server_password]

    @pytest.fixture
    def unusable(self, tmp_path: Path, server_postgres: TcpPostgres) -> Callable[[], PostgresStorage]:
        url = server_postgres.url("postgres")
        return lambda: PostgresStorage(StorageTarget("postgres", url, password_file=tmp_path / "absent"))
