"""GCRA as one Lua script: one round trip, and the server's clock for all gateways."""

from __future__ import annotations

from collections.abc import AsyncIterator
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
        each, period = round(rate.period / rate.limit * _MICRO), round(rate.period * _MICRO)
        place = f"{self._line.server.prefix}:limit:{rate.name}:{key}"
        allowed, remaining, wait = await self._decide(place, each, period)
        return Decision(bool(allowed), remaining, wait / _MICRO)

    async def _decide(self, place: str, each: int, period: int) -> Any:
        try:
            return await self._line.ask("EVALSHA", _SHA, 1, place, each, period)
        except NoScript:  # a new server, or one whose scripts were flushed
            return await self._line.ask("EVAL", _SCRIPT, 1, place, each, period)
