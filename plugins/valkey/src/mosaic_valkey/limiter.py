"""GCRA as one Lua script: one round trip, and the server's clock for all gateways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha1
from importlib.resources import files
from typing import Any

from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import Decision, Rate
from mosaic_valkey.line import Line
from mosaic_valkey.server import server_of
from mosaic_valkey.wire import NoScript

_SCRIPT = files("mosaic_valkey").joinpath("gcra.lua").read_bytes()
_SHA = sha1(_SCRIPT, usedforsecurity=False).hexdigest()  # how the server calls it
_MICRO = 1_000_000


class ValkeyLimiter:
    """Implements :class:`mosaic_hookspecs.protocols.Limiter`."""

    name = "valkey"

    def __init__(self, host: Host) -> None:
        self._line = Line(lambda: server_of(host))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Be connected."""
        async with self._line.open():
            yield

    async def take(self, key: str, rate: Rate) -> Decision:
        """Ask the server, in one command."""
        return (await self.take_all([(key, rate)]))[0]

    async def take_all(self, wanted: Sequence[tuple[str, Rate]]) -> Sequence[Decision]:
        """The same for several at once: still one command."""
        places = [f"{self._line.server.prefix}:limit:{rate.name}:{key}" for key, rate in wanted]
        times = [number for _, rate in wanted for number in _micro(rate)]
        found = iter(await self._decide(len(places), *places, *times))
        return [Decision(wait == 0, room, wait / _MICRO) for wait, room in zip(found, found, strict=True)]

    async def _decide(self, *arguments: str | int) -> Any:
        try:
            return await self._line.ask("EVALSHA", _SHA, *arguments)
        except NoScript:  # a new server, or one whose scripts were flushed
            return await self._line.ask("EVAL", _SCRIPT, *arguments)


def _micro(rate: Rate) -> tuple[int, int]:
    """Microseconds of one event, and of the whole period."""
    return round(rate.period / rate.limit * _MICRO), round(rate.period * _MICRO)
