"""A connection that comes back: dialled again when it is lost, and hung up on when it falls silent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from mosaic_hookspecs.errors import MosaicError
from mosaic_valkey.server import PATIENCE, Server, explain
from mosaic_valkey.wire import Heard, Wire, ask, dial

log = logging.getLogger("mosaic.valkey")

_BEAT = 2.0  # seconds between two pings: a connection that is dead without a word is noticed by then
_AGAIN = (0.1, 2.0)  # seconds before dialling again, first and longest


async def _nothing(_: Wire) -> None:
    """For a line without state of its own."""


class Line:
    """``greet`` is awaited on each new connection before it is used; ``dropped`` is called when one is lost."""

    def __init__(
        self,
        server: Callable[[], Server],
        *,
        heard: Heard = lambda _: None,
        greet: Callable[[Wire], Awaitable[None]] = _nothing,
        dropped: Callable[[], None] = lambda: None,
    ) -> None:
        self._find_server = server
        self._heard = heard
        self._greet = greet
        self._dropped = dropped
        self._settled = asyncio.Event()  # up, or known not to be
        self._wait = _AGAIN[0]
        self._why: MosaicError | None = None  # the last connection could not be made
        self.wire: Wire | None = None  # while it is up

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Keep the connection up while entered. A server that is down is no error yet: whoever asks is told."""
        self.server = self._find_server()
        keeper = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper

    async def ask(self, *command: bytes | str | int | float) -> Any:
        """One command and its reply. Raises :class:`Unavailable`."""
        return await ask(self.wire or await self.connected(), self.server, *command)

    async def connected(self) -> Wire:
        """The connection, once it is known whether there is one. Raises :class:`Unavailable`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._settled.wait()
        if self.wire is None:
            raise self._why or explain(TimeoutError(), self.server)
        return self.wire

    async def _keep(self) -> None:
        while True:
            try:
                wire = await dial(self.server, self._heard)
                try:
                    await self._use(wire)
                finally:
                    self._drop(wire)
            except MosaicError as error:
                self._fail(error)
            await asyncio.sleep(self._wait)
            self._wait = min(self._wait * 2, _AGAIN[1])

    async def _use(self, wire: Wire) -> None:
        await self._greet(wire)
        self.wire, self._why, self._wait = wire, None, _AGAIN[0]
        self._settled.set()
        while not wire.lost.done():
            await asyncio.wait({wire.lost}, timeout=_BEAT)
            if not wire.lost.done():
                await ask(wire, self.server, "PING")

    def _drop(self, wire: Wire) -> None:
        self.wire = None
        self._settled.clear()
        wire.abort()
        self._dropped()

    def _fail(self, error: MosaicError) -> None:
        if self._why is None:
            log.warning("%s", error.detail)
        self._why = error
        self._settled.set()
