"""Renewal as the gateway that is shared with: a new key and certificate well before the old one ends."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from mosaic_federation.joining import hear_from
from mosaic_federation.keys import key_pem, new_key, signing_request
from mosaic_federation.links import links_of
from mosaic_federation.offers import FromPeer, read_leaf
from mosaic_federation.peers import Peer, Peers
from mosaic_federation.telling import asking, is_told, told_of
from mosaic_hookspecs.errors import Conflict, MosaicError, NotFound, Unavailable
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import Job

log = logging.getLogger("mosaic.federation")

_EVERY = 60.0  # seconds
_SHARE = 7 / 12  # of a certificate's life: the middle between half and two thirds
_JITTER = 0.1  # of that, either way: not all that were issued together come back together
_CLAIM = 60.0  # seconds: longer than any renewal takes
_LONGEST_PAUSE = 600.0  # seconds between attempts
_SPREAD = 1024

_sql = load_queries("mosaic_federation", "renewing.sql")
_when: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


class _Renewed(FromPeer):
    """The answer to a renewal. Not checked yet but for its form."""

    chain: Annotated[str, Field(max_length=64 * 1024)]


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


async def renew(host: Host, peer: Peer) -> Peer:
    """Have a new key signed, and keep both in place of the old ones; what the peer thinks of it is kept on record.

    Raises what :meth:`Links.post` does, :class:`Conflict` for a key that was signed before, and
    :class:`Unavailable` for an answer that is not what was asked for.
    """
    try:
        await _renew(host, peer)
    except MosaicError as error:
        if isinstance(error, NotFound):
            error.remedy = f"its release cannot renew: ask its admin for `mosaic federation grant reissue {peer.grant_id}`"
        failed = (peer.id, peer.serial, error.detail, isinstance(error, Conflict), _LONGEST_PAUSE)
        await host.database.execute(_sql.renewal_failed, *failed)
        raise
    return await Peers(host.database).get(peer.name)


async def _renew(host: Host, peer: Peer) -> None:
    sealed = host.sealer.seal(key_pem(new_key()), place=peer.key_place)
    sealed = await host.database.fetchval(_sql.renewal_begin, peer.id, peer.serial, sealed)
    if sealed is None:
        return  # renewed by another process, or removed, meanwhile
    key = load_pem_private_key(host.sealer.open(sealed, place=peer.key_place), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Unavailable("the key kept for a renewal is not of P-256")
    body = {"csr": signing_request(key).decode("ascii")}
    chain, leaf = _read(await links_of(host).post(peer, "renew", body=body), peer, key)
    sealed = host.sealer.seal(key_pem(key), place=peer.key_place)
    new = (chain, f"{leaf.serial_number:x}", leaf.not_valid_after_utc, sealed)
    await host.database.fetchval(_sql.renewal_keep, peer.id, peer.serial, *new)


def _read(answer: bytes, peer: Peer, key: ec.EllipticCurvePrivateKey) -> tuple[bytes, x509.Certificate]:
    who = f"peer {peer.name!r}"
    try:
        chain = _Renewed.model_validate_json(answer).chain
    except ValidationError:
        raise Unavailable(f"{who} does not answer like a gateway") from None
    ids = (peer.grant_id, peer.subject_id)
    leaf = read_leaf(chain, who, ca=peer.ca, oid_arc=peer.oid_arc, ids=ids, key=key)
    if leaf.not_valid_after_utc <= datetime.now(UTC):
        raise Unavailable(
            f"{who} sent a certificate that is over", remedy="compare the clocks of both machines"
        )
    return chain.encode("ascii"), leaf


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
