"""Parts of the plugin as a gateway would open them, over a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from mosaic_gateway.metrics.counts import Counts
from mosaic_hookspecs.types import QueueTarget
from mosaic_valkey.settings import Settings

Make = Callable[[], AbstractAsyncContextManager[Any]]
MakeHost = Callable[..., Any]


def host_at(url: str | None, **options: Any) -> Any:
    """As much of a Host as the plugin looks at."""
    target = QueueTarget("bullmq", url, options.pop("password_file", None))
    settings = Settings(**{"prefix": f"test:{uuid4().hex}", **options})
    return SimpleNamespace(
        gateway_name="home", metrics=Counts(), queue_target=target, settings=lambda _: settings
    )


def opened(kind: Callable[[Any], Any], host: Any) -> Make:
    @asynccontextmanager
    async def make() -> AsyncIterator[Any]:
        thing = kind(host)
        async with thing.open():
            yield thing

    return make


@pytest.fixture
def host(redis_server: Any) -> Any:
    return host_at(redis_server.url)
