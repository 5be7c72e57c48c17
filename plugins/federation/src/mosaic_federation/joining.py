"""Enrollment as the gateway that is shared with: look at the offer, then take it."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID, uuid4

from cryptography import x509
from pydantic import ValidationError

from mosaic_federation import offers
from mosaic_federation.enrollment_url import EnrollmentURL
from mosaic_federation.grants import check_peer_name, fingerprint
from mosaic_federation.joins import Join, Joins
from mosaic_federation.keys import key_pem, new_key, signing_request
from mosaic_federation.links import links_of, tell_removed
from mosaic_federation.offers import Issued, Offered
from mosaic_federation.peers import Peer, Peers, Readers, key_place
from mosaic_federation.telling import ask
from mosaic_hookspecs.errors import Conflict, Gone, Invalid, MosaicError, Unavailable
from mosaic_hookspecs.protocols import Host


async def look(host: Host, url: EnrollmentURL) -> tuple[Offered, Peer | None]:
    """The offer, and the peer that it renews, if we have its grant already. Nothing is consumed.

    Raises the error that the gateway's refusal names, :class:`Conflict` for a renewal that is none, and
    :class:`Unavailable`.
    """
    try:
        offered = await offers.fetch_offer(url)
    except Gone as gone:
        if ours := await Joins(host.database).by_token(_hash(url)):
            gone.remedy = (
                f"we used it ourselves, as {ours.name!r} at {ours.started_at:%Y-%m-%d %H:%M} UTC, and were cut short "
                f"before the answer was kept: {_new_url(ours.grant_id)}"
            )
        raise
    return offered, await _renewed(host, url, offered)


async def join(
    host: Host, url: EnrollmentURL, offered: Offered, *, name: str | None, readers: Readers | None, actor: str
) -> Peer:
    """Take the offer: make a key, have it signed, keep both, and ask the peer over mTLS who we are.

    An offer for a grant that a peer has already renews that peer: its name stays, and its old key is erased.
    ``name`` is by default what the peer calls itself, ``readers`` the admins.

    Raises :class:`Conflict` for a name taken (the token is not spent), and what :func:`look` does.
    When the peer cannot be asked over mTLS it stays ``pending``, and the error says how to go on.
    """
    old = await _renewed(host, url, offered)
    name = await _free_name(host, name or (old.name if old else offered.gateway), old)
    peer_id, key = uuid4(), new_key()
    sealed = host.sealer.seal(key_pem(key), place=key_place(peer_id))
    begun = Join(peer_id, name, offered.gateway, url.place, offered.grant_id, _hash(url), sealed, actor)
    joins = Joins(host.database)
    await joins.begin(begun)
    answer = await _signed(host, begun, url, signing_request(key))
    try:
        issued, certificate = offers.read_issued(answer, url, offered, key)
        peer = _peer(begun, issued, offered, certificate, readers or (old.readers if old else "admins"))
        await joins.become(begun, peer, renews=old is not None)
    except MosaicError as error:
        await joins.give_up(begun)
        error.remedy = f"nothing was kept; {_new_url(offered.grant_id)}"
        raise
    if old is not None:
        await tell_removed(host)
    return await hear_from(host, name)


async def hear_from(host: Host, name: str) -> Peer:
    """Ask a peer who we are, check that it agrees, and make it ``active``, with the scope and the release it tells.

    Raises :class:`NotFound`, or :class:`Unavailable` with cause and remedy.
    """
    peers = Peers(host.database)
    peer = await peers.get(name)
    try:
        whoami = offers.read_whoami(await links_of(host).get(peer, "whoami"))
    except ValidationError:
        raise Unavailable(f"peer {name!r} does not answer like a gateway") from None
    except MosaicError as error:
        if peer.state == "pending":
            error.remedy += f"; the certificate is kept: then run `mosaic federation peer test {name}`"
        raise
    if (whoami.grant_id, whoami.subject.id) != (peer.grant_id, peer.subject_id):
        raise Unavailable(f"peer {name!r} takes us for another grant", remedy="remove it and enroll again")
    await peers.heard(peer, whoami.scope)
    await ask(host, peer)
    return await peers.get(name)


async def _renewed(host: Host, url: EnrollmentURL, offered: Offered) -> Peer | None:
    """The peer of the offer's grant. Anyone can name any grant: the authority must be the same, and the address."""
    for peer in await Peers(host.database).of_grant(offered.grant_id):
        if fingerprint(peer.ca) == url.ca_sha256:
            if offered.url == peer.url:
                return peer
            raise Conflict(
                f"the offer is for the grant of peer {peer.name!r} at {peer.url}, but from {offered.url}",
                remedy=f"if it has moved, `mosaic federation peer remove {peer.name}` first; if not, do not go on",
            )
    return None


async def _free_name(host: Host, name: str, old: Peer | None) -> str:
    check_peer_name(name, "name")
    if old is not None and name != old.name:
        raise Invalid(f"the offer renews peer {old.name!r}, which keeps its name", remedy="leave out --name")
    if old is None and name in {peer.name for peer in await Peers(host.database).all()}:
        raise Conflict(
            f"there is a peer {name!r} already", remedy="choose another with --name, or remove it first"
        )
    return name


async def _signed(host: Host, begun: Join, url: EnrollmentURL, csr: bytes) -> bytes:
    """The answer to our CSR. Without one nobody here knows whether the token is spent: then the key is kept."""
    joins = Joins(host.database)
    try:
        return await offers.ask_to_sign(url, csr, host.gateway_name)
    except BaseException as error:  # an interrupt, too
        with suppress(MosaicError):
            if isinstance(error, MosaicError) and not isinstance(error, Unavailable):
                await joins.give_up(begun)
            else:
                await joins.failed(begun)
        raise


def _peer(
    begun: Join, issued: Issued, offered: Offered, certificate: x509.Certificate, readers: Readers
) -> Peer:
    return Peer(
        id=begun.id,
        name=begun.name,
        state="pending",
        gateway=offered.gateway,
        url=issued.url,
        grant_id=offered.grant_id,
        subject_id=offered.subject.id,
        subject=offered.subject.username,
        scope=issued.scope,
        ca=issued.ca.encode("ascii"),
        chain=issued.chain.encode("ascii"),
        sealed_key=begun.sealed_key,
        serial=f"{certificate.serial_number:x}",
        not_after=certificate.not_valid_after_utc,
        oid_arc=offered.oid_arc,
        readers=readers,
        added_by=begun.added_by,
        created_at=datetime.now(UTC),
    )


def _hash(url: EnrollmentURL) -> bytes:
    return sha256(str(url.address).encode()).digest()


def _new_url(grant_id: UUID) -> str:
    return f"ask its admin for a new URL: `mosaic federation grant reissue {grant_id}`"
