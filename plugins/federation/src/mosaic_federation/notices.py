"""What the gate and plugins are told of grants and peers. The change is made already: nothing here can undo it."""

from __future__ import annotations

import logging
from uuid import UUID

from mosaic_federation.grant_records import Grant, grant_queries
from mosaic_federation.standings import forget_standing
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import GrantChange, GrantNotice, PeerNotice

log = logging.getLogger("mosaic.federation")

_sql = grant_queries()


async def tell_changed(host: Host, grant: Grant, change: GrantChange) -> None:
    """Tell of a grant as it is after ``change``, and of its peer if that has enrolled or was shut out by it."""
    forget_standing(host, grant.id)
    notice = GrantNotice(grant.id, grant.subject_id, grant.peer_name, change, grant.version, grant.expires_at)
    await host.notify("mosaic_grant_changed", grant=notice)
    peer = PeerNotice(grant.peer_name, grant.peer_gateway, grant.id, grant.subject_id, grant.serial)
    if change == "enrolled":
        await host.notify("mosaic_peer_enrolled", peer=peer)
    elif change == "revoked" and grant.serial is not None:
        await host.notify("mosaic_peer_revoked", peer=peer)


async def tell_changed_by_id(host: Host, grant_id: UUID, change: GrantChange) -> None:
    """The same, for who has no more than the id."""
    try:
        row = await host.database.fetchrow(_sql.grants, grant_id, None, None)
    except Exception:
        log.exception("plugins were not told that grant %s is %s", grant_id, change)
        return
    if row is not None:
        await tell_changed(host, Grant.of(row), change)
