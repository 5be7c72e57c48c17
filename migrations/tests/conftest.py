from __future__ import annotations

import importlib
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from mosaic_hookspecs.types import DatabaseLocation, MigrationSet
from mosaic_tier_local.settings import Settings
from mosaic_tier_local.storage import EmbeddedStorage

_numbers = itertools.count()


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("migrations")


@pytest.fixture
async def location(data_dir: Path) -> AsyncIterator[DatabaseLocation]:
    async with EmbeddedStorage(data_dir, Settings()).open(serving=False) as location:
        async with connection(location) as conn:
            await conn.execute("DROP SCHEMA IF EXISTS mosaic CASCADE")
        yield location


@pytest.fixture
async def conn(location: DatabaseLocation) -> AsyncIterator[asyncpg.Connection]:
    async with connection(location) as conn:
        yield conn


@asynccontextmanager
async def connection(location: DatabaseLocation) -> AsyncIterator[asyncpg.Connection]:
    conn = await asyncpg.connect(
        host=location.host, port=location.port, user=location.user, database=location.database
    )
    try:
        yield conn
    finally:
        await conn.close(timeout=5)


@pytest.fixture
def connect(location: DatabaseLocation) -> Callable[[], object]:
    return lambda: connection(location)


class Package:
    """A package of SQL files that a test may change while it runs."""

    def __init__(self, root: Path, component: str) -> None:
        name = f"sqlfiles_{next(_numbers)}"
        self.path = root / name
        self.path.mkdir()
        self.set = MigrationSet(component, name)

    def write(self, name: str, sql: str) -> Package:
        (self.path / name).write_text(sql, encoding="utf-8")
        return self


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Package]:
    monkeypatch.syspath_prepend(tmp_path)

    def make(component: str) -> Package:
        made = Package(tmp_path, component)
        importlib.invalidate_caches()
        return made

    return make
