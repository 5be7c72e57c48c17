"""The listener for peers while it is served: what it goes by is renewed, and what no longer holds is ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from mosaic_federation.revocation_list import fetch_list, listed
from mosaic_federation.server_identity import renew_identity
from mosaic_hookspecs.errors import MosaicError
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import Job

log = logging.getLogger("mosaic.federation")

LISTENER = "federation"
CHANNEL = "federation_listener"  # of Postgres; told by triggers (migration 0021) and by the job

_EVERY = 60.0  # seconds
_AGAIN = 1.0  # seconds before a look that failed is tried again

_sql = load_queries("mosaic_federation", "serving.sql")


def listener_job(host: Host) -> Job:
    """What may change by itself, looked after in one process for all of them."""

    async def run(_: Mapping[str, Any]) -> None:
        for renew in (renew_identity, fetch_list):
            try:
                await renew(host)
            except MosaicError as error:  # tried again in a minute; until then the last one is used
                log.warning("the listener for peers: %s", error.detail)
        await host.database.execute(f"NOTIFY {CHANNEL}")  # grants may have ended by the clock

    return Job("federation.listener", run, every=_EVERY)


@asynccontextmanager
async def watch_listener(host: Host) -> AsyncIterator[None]:
    """Keep this process's listener true for as long as the context is entered."""
    watching = asyncio.create_task(_watch(host))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _watch(host: Host) -> None:
    while True:
        try:
            async with host.database.listen(CHANNEL) as messages:
                await _look(host)  # for what was missed
                async for _ in messages:
                    await _look(host)
        except Exception as error:
            log.warning("the listener for peers is looked after again in a moment: %s", _told(error))
        await asyncio.sleep(_AGAIN)


async def _look(host: Host) -> None:
    """Grants first: they are the gateway's own word, and need nobody else."""
    listener = host.listener(LISTENER)
    if listener is None:
        return
    if listener.serials():
        rows = await host.database.fetch(_sql.not_admitted, list(listener.serials()))
        listener.end([row["serial"] for row in rows])
    await listener.reload()
    if serials := list(listener.serials()):
        listener.end(await listed(host, serials))


def _told(error: Exception) -> str:
    return error.detail if isinstance(error, MosaicError) else type(error).__name__
