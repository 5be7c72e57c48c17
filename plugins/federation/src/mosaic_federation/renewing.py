"""Renewal as the gateway that is shared with: a new key and certificate well before the old one ends."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import Field, ValidationError

from mosaic_federation.keys import key_pem, new_key, signing_request
from mosaic_federation.links import links_of
from mosaic_federation.offers import FromPeer, read_leaf
from mosaic_federation.peers import Peer, Peers
from mosaic_hookspecs.errors import ConfigError, Conflict, MosaicError, NotFound, Unavailable
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries

_LONGEST_PAUSE = 600.0  # seconds between attempts

_sql = load_queries("mosaic_federation", "renewing.sql")


class _Renewed(FromPeer):
    """The answer to a renewal. Not checked yet but for its form."""

    chain: Annotated[str, Field(max_length=64 * 1024)]


async def renew(host: Host, peer: Peer) -> Peer:
    """Have a new key signed, and keep both in place of the old ones; what the peer thinks of it is kept on record.

    Raises what :meth:`Links.post` does, :class:`Conflict` for a key that was signed before, and
    :class:`Unavailable` for an answer that is not what was asked for.
    """
    try:
        await _renew(host, peer)
    except MosaicError as error:
        if isinstance(error, NotFound):
            error.remedy = (
                "its release cannot renew: ask its admin for a new URL "
                f"(`mosaic federation grant reissue {peer.grant_id}`)"
            )
        failed = (
            peer.id,
            peer.serial,
            error.detail,
            isinstance(error, Conflict | ConfigError),
            _LONGEST_PAUSE,
        )
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
