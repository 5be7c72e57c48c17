"""The audit sink: one writer per process; what comes in while it sends goes out together next."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from datetime import UTC, datetime
from socket import gaierror
from ssl import SSLCertVerificationError, SSLError

from mosaic_audit_syslog.links import link
from mosaic_audit_syslog.message import message
from mosaic_audit_syslog.settings import Settings
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.types import AuditEvent

log = logging.getLogger("mosaic.audit_syslog")

_MOST = 200  # events sent together
_REMEDY = "see whether the syslog daemon of plugins.audit_syslog.address runs; the gateway's log says more"


class Syslog:
    """Implements :class:`mosaic_hookspecs.protocols.AuditSink`."""

    def __init__(self, settings: Settings, gateway: str) -> None:
        self._settings = settings
        self._gateway = gateway
        self._link = link(settings)
        self._waiting: deque[tuple[bytes, asyncio.Future[bool]]] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._well = True  # whether the last attempt was; said once when it changes

    async def record(self, event: AuditEvent) -> None:
        """Return when syslog has taken the event. Raises :class:`Unavailable`, if that is required."""
        taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((message(event, self._gateway, datetime.now(UTC)), taken))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        if not await taken and self._settings.required:
            raise Unavailable("The audit record cannot be written to syslog.", remedy=_REMEDY)

    def close(self) -> None:
        """Let the connection go; what was recorded is no longer here."""
        self._link.close()

    async def _write(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_MOST, len(self._waiting)))]
            well = False
            try:
                well = await self._sent([line for line, _ in batch])
            finally:
                for _, taken in batch:
                    if not taken.done():  # its request may have been cancelled
                        taken.set_result(well)

    async def _sent(self, lines: list[bytes]) -> bool:
        try:
            async with asyncio.timeout(self._settings.seconds):
                try:
                    await self._link.send(lines)
                except OSError:  # a connection that has meanwhile broken: once more, on a new one
                    await self._link.send(lines)
        except OSError as error:  # and with it TimeoutError
            self._say(error)
            return False
        if not self._well:
            self._well = True
            log.warning("syslog at %s takes audit events again", self._settings.address)
        return True

    def _say(self, error: OSError) -> None:
        if self._well:
            self._well = False
            log.error("syslog at %s takes no audit events: %s", self._settings.address, why(error))


def why(error: OSError) -> str:
    """What went wrong, in words."""
    match error:
        case SSLCertVerificationError():
            return f"its certificate is not trusted ({error.verify_message})"
        case SSLError():
            return f"TLS failed ({error.reason})"
        case gaierror():
            return "its name is not known"
        case TimeoutError():
            return "no answer in time"
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__
