"""What peers tell of their release, kept for an hour: asked at enrollment, then by a job."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from pydantic import ValidationError

from mosaic_federation.capabilities import RELEASE_0_1, Capabilities, known_of, this_release
from mosaic_federation.links import links_of
from mosaic_federation.peers import Peer
from mosaic_hookspecs.errors import MosaicError, NotFound
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries

log = logging.getLogger("mosaic.federation")

_KEPT = timedelta(hours=1)

_sql = load_queries("mosaic_federation", "renewing.sql")


def told_of(peer: Peer) -> Capabilities | None:
    """What is on record of its release; None: nothing yet."""
    return known_of(peer.capabilities)


def is_told(peer: Peer, now: datetime) -> bool:
    """Whether it was asked in the last hour, by the release that we are now."""
    at = peer.capabilities_at
    return at is not None and now - at < _KEPT and peer.capabilities_for == this_release()


async def asking(host: Host, peer: Peer) -> None:
    """Nobody else needs to ask for an hour, whatever comes of it."""
    await host.database.execute(_sql.capabilities_asking, peer.id, this_release())


async def ask(host: Host, peer: Peer) -> None:
    """Ask a peer what its release can do. One that has no such document is of release 0.1.

    What was known before stays known if it does not tell.
    """
    try:
        told = Capabilities.model_validate_json(await links_of(host).get(peer, "capabilities"))
    except NotFound:
        told = RELEASE_0_1
    except (MosaicError, ValidationError) as error:
        log.warning("peer %s does not tell what its release can do: %s", peer.name, type(error).__name__)
        return
    await host.database.execute(_sql.capabilities_keep, peer.id, told.model_dump_json(), this_release())
