"""The suites for services that a tier is made of, and for the gateway that has them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mosaic_gateway.boot import Gateway
from mosaic_gateway.testing.check.fixtures import cannot
from mosaic_gateway.testing.check.subject import Subject
from mosaic_gateway.testing.prepared import new_folder
from mosaic_gateway.testing.storage import connected
from mosaic_hookspecs import testing
from mosaic_hookspecs.errors import MosaicError
from mosaic_hookspecs.protocols import Storage
from mosaic_hookspecs.types import Rate, StorageTarget

Make = Callable[[], AbstractAsyncContextManager[Any]]
_SECRET = "not-a-real-password"  # noqa: S105 - nor is it one


class TestStart:
    """The plugin with a gateway around it."""

    async def test_a_gateway_starts_with_it(self, gateway: Gateway) -> None:
        assert gateway.composition.registry.plugins

    async def test_its_other_hooks_answer(self, subject: Subject, gateway: Gateway) -> None:
        """Those that are asked once the gateway is up."""
        for hook in ("mosaic_jobs", "mosaic_sources", "mosaic_listeners", "mosaic_routes"):
            subject.answers(hook, gateway.composition.host)


def opened(subject: Subject, hook: str, named: str) -> Make:
    """More and more objects of one place, which is a new one for each test."""
    facts = subject.apart()

    @asynccontextmanager
    async def make() -> AsyncIterator[Any]:
        thing = subject.fresh(hook, named, **facts)
        async with thing.open():
            yield thing

    return make


async def reach(make: Make, ask: Callable[[Any], Awaitable[Any]]) -> None:
    """Leave the rules out if the service behind does not answer."""
    try:
        async with asyncio.timeout(20), make() as thing:
            await ask(thing)
    except MosaicError as error:
        cannot(error)


class TestQueue(testing.QueueContract):
    hook = "mosaic_queues"

    @pytest.fixture
    async def make(self, subject: Subject, gateway: Gateway, named: str) -> Make:
        target = replace(subject.apart()["queue_target"], type=named)
        facts = subject.apart(queue_target=target)

        @asynccontextmanager
        async def make() -> AsyncIterator[Any]:
            queue = subject.fresh(self.hook, named, **facts)
            async with queue.open():
                yield queue

        await reach(make, lambda queue: queue.failed())
        await _emptied(gateway)
        return make


class TestCache(testing.CacheContract):
    hook = "mosaic_caches"

    @pytest.fixture
    async def make(self, subject: Subject, gateway: Gateway, named: str) -> Make:
        make = opened(subject, self.hook, named)
        await reach(make, lambda cache: cache.forget("none"))
        return make


class TestLimiter(testing.LimiterContract):
    hook = "mosaic_limiters"

    @pytest.fixture
    async def make(self, subject: Subject, gateway: Gateway, named: str) -> Make:
        make = opened(subject, self.hook, named)
        await reach(make, lambda limiter: limiter.take("none", Rate("none", 1, 1)))
        return make


class TestStorage(testing.StorageContract):
    hook = "mosaic_storages"

    @pytest.fixture(scope="class")
    def folder(self) -> Iterator[Path]:
        folder = new_folder()
        yield folder
        shutil.rmtree(folder, ignore_errors=True)

    @pytest.fixture(scope="class")
    async def make(self, subject: Subject, folder: Path, named: str) -> Callable[[], Storage]:
        target = replace(subject.settings.storage or StorageTarget(named), type=named)

        def make() -> Storage:
            return self._storage(subject, folder, target)

        try:
            async with make().open(serving=True) as location, connected(location) as sql:
                await sql.fetchval("SELECT 1")
        except MosaicError as error:
            cannot(error)
        return make

    def _storage(self, subject: Subject, folder: Path, target: StorageTarget) -> Storage:
        facts = {"storage_target": target, "data_dir": folder / "data"}
        storage: Storage = subject.fresh(self.hook, target.type, **facts)
        return storage

    @pytest.fixture
    def connect(self) -> Any:
        return connected

    @pytest.fixture
    def secrets(self, subject: Subject) -> Sequence[str]:
        return [*subject.secrets, _SECRET]

    @pytest.fixture
    async def unusable(self, subject: Subject, folder: Path, named: str) -> Callable[[], Storage]:
        """A password in the URL, and a file for another that is not there."""
        url = f"postgresql://lead:{_SECRET}@127.0.0.1:1/work"
        target = StorageTarget(named, url, password_file=folder / "absent")

        def unusable() -> Storage:
            return self._storage(subject, folder, target)

        try:
            async with unusable().open(serving=True):
                pytest.skip("it takes no notice of storage.url and storage.password_file")
        except MosaicError:
            return unusable


async def _emptied(gateway: Gateway) -> None:
    """The queue's rules count what is there."""
    tables = await gateway.database.fetch(
        "SELECT quote_ident(relname) AS name FROM pg_class"
        " WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname <> 'migrations'"
    )
    for table in tables:
        try:
            await gateway.database.execute(f"TRUNCATE {table['name']} CASCADE")
        except Exception:  # noqa: S112 - an append-only one
            continue
