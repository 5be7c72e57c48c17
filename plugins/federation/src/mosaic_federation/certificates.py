"""Certificates that were handed out and have ended: the gate refuses them at once, then the authority is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from mosaic_federation.revocation_list import fetch_list
from mosaic_hookspecs.errors import MosaicError, Unavailable
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import Job

log = logging.getLogger("mosaic.federation")

_EVERY = 60.0  # seconds
_PATIENCE = 8.0  # seconds: somebody may wait for the certificate that takes the place of these

_sql = load_queries("mosaic_federation", "enrollment.sql")


async def tell_authority(host: Host) -> None:
    """Have every certificate that has ended revoked at the authority, and take its list as it then is.

    Raises :class:`Unavailable` when it cannot be told within 8 s; what is left is tried again by the job.
    """
    try:
        async with asyncio.timeout(_PATIENCE):
            ended = await host.database.fetch(_sql.certificates_to_revoke)
            for row in ended:
                await host.authority().revoke(row["serial"])
                await host.database.execute(_sql.certificate_revoked, row["serial"])
            if ended:
                await fetch_list(host)
    except TimeoutError:
        raise Unavailable("the certificate authority takes too long to revoke") from None


async def try_to_tell_authority(host: Host) -> None:
    """The same now, if it can be; what the gate refuses does not depend on it."""
    try:
        await tell_authority(host)
    except MosaicError as error:
        log.warning("certificates that are refused are not yet revoked at the authority: %s", error.detail)


def revocation_job(host: Host) -> Job:
    """The scheduled job for what could not be told at once."""

    async def run(_: Mapping[str, Any]) -> None:
        await tell_authority(host)

    return Job("federation.revoke", run, every=_EVERY)
