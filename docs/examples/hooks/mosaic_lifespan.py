import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.protocols import Host

beats: list[str] = []


@asynccontextmanager
async def heartbeat(name: str) -> AsyncIterator[None]:
    async def beat() -> None:
        while True:
            beats.append(name)
            await asyncio.sleep(60)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()


@hookimpl
def mosaic_lifespan(host: Host) -> object:
    return heartbeat(host.gateway_name)
