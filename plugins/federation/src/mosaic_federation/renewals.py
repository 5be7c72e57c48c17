"""When our certificates for peers are renewed, and the jobs that see to it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from cryptography import x509
from pydantic import AwareDatetime, TypeAdapter, ValidationError

from mosaic_federation.peers import Peer, Peers
from mosaic_federation.telling import asking, is_told, told_of
from mosaic_hookspecs.errors import MosaicError
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import Job

log = logging.getLogger("mosaic.federation")

_EVERY = 60.0  # seconds
_SHARE = 7 / 12  # of a certificate's life: the middle between half and two thirds
_JITTER = 0.1  # of that, either way: not all that were issued together come back together
_SPREAD = 1024
_CLAIM = 60.0  # seconds: longer than any renewal takes

_sql = load_queries("mosaic_federation", "renewing.sql")
_when: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


def due_at(peer: Peer) -> datetime | None:
    """When our certificate for a peer is renewed, as every process reckons it; None: it lasts as long as the grant."""
    start = x509.load_pem_x509_certificates(peer.chain)[0].not_valid_before_utc
    share = _SHARE * (1 + _JITTER * (int(peer.serial, 16) % _SPREAD * 2 / (_SPREAD - 1) - 1))
    return None if _ends_with_grant(peer) else start + (peer.not_after - start) * share


def is_due(peer: Peer, now: datetime) -> bool:
    """Whether to renew now. Not once it is over, while we are refused, or where the release cannot."""
    known = told_of(peer)
    if peer.refusal or peer.not_after <= now or (known is not None and not known.renewal):
        return False
    due, retry = due_at(peer), peer.renewal_retry_at
    return due is not None and due <= now and (retry is None or retry <= now)


def renewal_jobs(host: Host) -> Iterable[Job]:
    """One looks who is in need each minute; the other one sees to one peer, in whatever process."""
    one = Job("federation.peer", partial(_look_after, host), attempts=1)

    async def run(_: Mapping[str, Any]) -> None:
        now = datetime.now(UTC)
        for peer in await Peers(host.database).all():
            if is_due(peer, now) or (peer.not_after > now and not is_told(peer, now)):
                await host.queue().enqueue(one, {"peer": peer.name})

    return (Job("federation.peers", run, every=_EVERY), one)


async def _look_after(host: Host, data: Mapping[str, Any]) -> None:
    """What fails is on the peer's record, and done again in its time."""
    # what dials is imported only here: each command reads the list of jobs
    from mosaic_federation.joining import hear_from  # noqa: PLC0415
    from mosaic_federation.renewing import renew  # noqa: PLC0415

    try:
        peer = await Peers(host.database).get(data["peer"])
        if not is_told(peer, datetime.now(UTC)):
            await asking(host, peer)
            peer = await hear_from(host, peer.name)
        claim = (peer.id, peer.serial, _CLAIM)
        if is_due(peer, datetime.now(UTC)) and await host.database.fetchval(_sql.renewal_claim, *claim):
            await renew(host, peer)
            await hear_from(host, peer.name)  # the first use of the new certificate ends the old one
    except MosaicError as error:
        log.warning("peer %s: %s", data["peer"], error.detail)


def _ends_with_grant(peer: Peer) -> bool:
    """As the scope has it that the peer told us. What we cannot read there changes nothing."""
    try:
        return peer.not_after >= _when.validate_python(peer.scope.get("expires_at"))
    except ValidationError:
        return False
