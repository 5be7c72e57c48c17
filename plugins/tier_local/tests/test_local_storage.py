"""The embedded Postgres is what every storage has to be."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mosaic_hookspecs.testing import StorageContract
from mosaic_hookspecs.types import StorageTarget
from mosaic_tier_local.settings import Settings
from mosaic_tier_local.storage import EmbeddedStorage

SECRET = "hunter2"


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One for all rules: to make the first cluster takes the longest."""
    home = Path(tempfile.mkdtemp(prefix="mosaic-test-"))
    home.chmod(0o711)
    yield home
    shutil.rmtree(home)


class TestEmbeddedStorage(StorageContract):
    @pytest.fixture
    def make(self, home: Path) -> Callable[[], EmbeddedStorage]:
        return lambda: EmbeddedStorage(home / "data", Settings())

    @pytest.fixture
    def connect(self, connected: Callable[..., object]) -> Callable[..., object]:
        return connected

    @pytest.fixture
    def secrets(self) -> list[str]:
        return [SECRET]

    @pytest.fixture
    def unusable(self, home: Path) -> Callable[[], EmbeddedStorage]:
        target = StorageTarget("embedded", url=f"postgresql://mosaic:{SECRET}@db.work.example/mosaic")
        return lambda: EmbeddedStorage(home / "data", Settings(), target)
