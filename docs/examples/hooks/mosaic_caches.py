from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.nearby import Subscribers
from mosaic_hookspecs.protocols import Cache, Host


class NoCache:
    """Keeps nothing, so nothing is ever stale. Its messages reach one process only."""

    name = "none"

    def __init__(self) -> None:
        self.subscribers = Subscribers()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        yield

    async def get(self, key: str, load: Callable[[], Awaitable[bytes | None]], *, ttl: float) -> bytes | None:
        return await load()

    async def forget(self, *keys: str) -> None:
        pass

    async def publish(self, channel: str, message: str) -> None:
        self.subscribers.tell(channel, message)

    def subscribe(self, channel: str) -> AbstractAsyncContextManager[AsyncIterator[str | None]]:
        return self.subscribers.subscribe(channel)


@hookimpl
def mosaic_caches(host: Host) -> list[Cache]:
    return [NoCache()]
