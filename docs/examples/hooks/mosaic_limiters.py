from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.protocols import Host, Limiter
from mosaic_hookspecs.types import Decision, Rate


class Closed:
    """Refuses everyone, for the time of some maintenance."""

    name = "closed"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        yield

    async def take(self, key: str, rate: Rate) -> Decision:
        return Decision(allowed=False, remaining=0, retry_after=600)

    async def take_all(self, wanted: Sequence[tuple[str, Rate]]) -> list[Decision]:
        return [await self.take(key, rate) for key, rate in wanted]


@hookimpl
def mosaic_limiters(host: Host) -> list[Limiter]:
    return [Closed()]
