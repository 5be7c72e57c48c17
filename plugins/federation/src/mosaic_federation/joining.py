"""Enrollment as the gateway that is shared with: look at the offer, then take it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID, uuid4

import aiohttp
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError
from yarl import URL

from mosaic_federation.answers import read_answer
from mosaic_federation.enrollment_url import EnrollmentURL
from mosaic_federation.grants import check_peer_name, fingerprint
from mosaic_federation.keys import key_pem, new_key, signing_request
from mosaic_federation.links import links_of
from mosaic_federation.oids import read_claims
from mosaic_federation.peers import Peer, Peers, Readers, key_place
from mosaic_federation.tls_errors import explain
from mosaic_hookspecs.errors import Conflict, MosaicError, Unavailable
from mosaic_hookspecs.protocols import Host

_LARGEST_ANSWER = 256 * 1024  # bytes
_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)  # seconds

Word = Annotated[  # harmless on a terminal
    str, StringConstraints(pattern=r"^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$", max_length=300)
]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")  # a newer release may say more


A = TypeVar("A", bound=_Answer)


class Subject(_Answer):
    """Through whose eyes the grant looks."""

    id: UUID
    username: Word


class Offered(_Answer):
    """What the other gateway offers."""

    gateway: Word
    grant_id: UUID
    subject: Subject
    resources: tuple[Word, ...]
    scope: dict[str, Any]
    scope_in_words: tuple[Word, ...]
    expires_at: datetime
    ca_sha256: Word


def _storable(scope: dict[str, Any]) -> dict[str, Any]:
    if "\\u0000" in json.dumps(scope, allow_nan=False):
        raise ValueError("holds a NUL, which Postgres takes in no text")
    return scope


def _dialable(url: str) -> str:
    URL(url)  # ValueError: a port or a host that cannot be
    return url


def _one_certificate(pem: str) -> str:
    """The first block alone, for that is the pinned one: TLS would trust each further one as much."""
    certificate = x509.load_pem_x509_certificate(pem.encode("ascii"))
    return certificate.public_bytes(Encoding.PEM).decode("ascii")


class _Issued(_Answer):
    scope: Annotated[dict[str, Any], AfterValidator(_storable)]
    url: Annotated[str, StringConstraints(pattern=r"^https://[^/?#@\s\p{Cc}]+/?$"), AfterValidator(_dialable)]
    chain: str
    ca: Annotated[str, AfterValidator(_one_certificate)]


async def fetch_offer(url: EnrollmentURL) -> Offered:
    """Look at the offer; nothing is consumed.

    Raises the error that the gateway's refusal names, or :class:`Unavailable`.
    """
    offered = _parsed(Offered, await _ask(url, "GET", None), url)
    if offered.ca_sha256 != url.ca_sha256:
        raise _other_authority(url)
    return offered


async def join(
    host: Host, url: EnrollmentURL, offered: Offered, *, name: str, readers: Readers, actor: str
) -> Peer:
    """Take the offer: make a key, have it signed, keep both, and ask the peer over mTLS who we are.

    Raises :class:`Conflict` for a name taken (the token is not spent), and what :func:`fetch_offer` does.
    When the peer cannot be asked over mTLS it stays ``pending``, and the error says how to go on.
    """
    check_peer_name(name, "name")
    peers = Peers(host.database)
    if await peers.known(name):
        raise Conflict(
            f"there is a peer {name!r} already", remedy="choose another with --name, or remove it first"
        )
    key = new_key()
    body = {"csr": signing_request(key).decode("ascii"), "name": host.gateway_name}
    answer = await _ask(url, "POST", body)
    try:
        issued = _parsed(_Issued, answer, url)
        certificate = _checked(issued, url, offered, key)
        await peers.store(_peer(host, issued, offered, certificate, key, name, readers, actor))
    except MosaicError as error:
        error.remedy = f"nothing was kept; have grant {offered.grant_id} revoked there and ask for a new one"
        raise
    return await hear_from(host, name)


def _peer(
    host: Host,
    issued: _Issued,
    offered: Offered,
    certificate: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    name: str,
    readers: Readers,
    actor: str,
) -> Peer:
    peer_id = uuid4()
    return Peer(
        id=peer_id,
        name=name,
        state="pending",
        gateway=offered.gateway,
        url=issued.url.rstrip("/"),
        grant_id=offered.grant_id,
        subject_id=offered.subject.id,
        subject=offered.subject.username,
        scope=issued.scope,
        ca=issued.ca.encode("ascii"),
        chain=issued.chain.encode("ascii"),
        sealed_key=host.sealer.seal(key_pem(key), place=key_place(peer_id)),
        serial=f"{certificate.serial_number:x}",
        not_after=certificate.not_valid_after_utc,
        readers=readers,
        added_by=actor,
        created_at=datetime.now(UTC),
    )


async def hear_from(host: Host, name: str) -> Peer:
    """Ask a peer who we are, check that it agrees, and make it ``active``.

    Raises :class:`NotFound`, or :class:`Unavailable` with cause and remedy.
    """
    peers = Peers(host.database)
    peer = await peers.get(name)
    try:
        body = await links_of(host).get(peer, "whoami")
        whoami = _Whoami.model_validate_json(body)
    except ValidationError:
        raise Unavailable(f"peer {name!r} does not answer like a gateway") from None
    except MosaicError as error:
        if peer.state == "pending":
            error.remedy += f"; the certificate is kept: then run `mosaic federation peer test {name}`"
        raise
    if (whoami.grant_id, whoami.subject.id) != (peer.grant_id, peer.subject_id):
        raise Unavailable(f"peer {name!r} takes us for another grant", remedy="remove it and enroll again")
    await peers.activate(peer)
    return await peers.get(name)


class _Whoami(_Answer):
    grant_id: UUID
    subject: Subject


def _checked(
    issued: _Issued, url: EnrollmentURL, offered: Offered, key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    """The leaf, once it is certain that it is ours, for this grant, and from the authority of the URL."""
    try:
        chain = x509.load_pem_x509_certificates(issued.chain.encode("ascii"))
        ca = issued.ca.encode("ascii")
        pinned = fingerprint(ca) == url.ca_sha256
        for certificate, issuer in zip(chain, [*chain[1:], x509.load_pem_x509_certificate(ca)], strict=True):
            certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        raise Unavailable(f"{url.place} sent a certificate that does not verify") from None
    if not pinned:
        raise _other_authority(url)
    claims = read_claims(chain[0].public_bytes(Encoding.DER))
    if (claims.grant_id, claims.subject_id) != (offered.grant_id, offered.subject.id):
        raise Unavailable(f"{url.place} sent a certificate for another grant than it offered")
    if chain[0].public_key() != key.public_key():
        raise Unavailable(f"{url.place} sent a certificate for another key than ours")
    return chain[0]


async def _ask(url: EnrollmentURL, method: str, body: dict[str, str] | None) -> bytes:
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()) as client,
            client.request(method, url.address, json=body, allow_redirects=False) as response,
        ):
            return await read_answer(response, url.place, _LARGEST_ANSWER)
    except (aiohttp.ClientError, OSError, UnicodeError) as error:  # UnicodeError: a host that DNS cannot hold
        cause, remedy = explain(error)
        if body is not None:
            remedy += "; if the URL turns out to be used, ask for a new grant"
        # `from None`: aiohttp's errors may quote the URL, and with it the token
        raise Unavailable(f"{url.place}: {cause}", remedy=remedy) from None


def _parsed(model: type[A], body: bytes, url: EnrollmentURL) -> A:
    try:
        return model.model_validate_json(body)
    except ValidationError:
        raise Unavailable(f"{url.place} does not answer like a gateway") from None


def _other_authority(url: EnrollmentURL) -> Unavailable:
    return Unavailable(
        f"{url.place} shows another certificate authority than the enrollment URL names",
        remedy="do not go on: someone may be answering in its place; compare fingerprints with its admin",
    )
