"""What another gateway offers and issues, read with care: what counts is what the pinned authority has signed."""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeVar
from uuid import UUID

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from yarl import URL

from mosaic_federation.answers import read_answer
from mosaic_federation.enrollment_url import EnrollmentURL
from mosaic_federation.grants import fingerprint
from mosaic_federation.oids import read_claims
from mosaic_federation.scopes import LONGEST_TEXT
from mosaic_federation.settings import ARC, DEFAULT_ARC
from mosaic_federation.tls_errors import explain
from mosaic_hookspecs.certificates import UNREADABLE
from mosaic_hookspecs.errors import Unavailable

_LARGEST_ANSWER = 256 * 1024  # bytes
_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)  # seconds

Word = Annotated[  # harmless on a terminal
    str, StringConstraints(pattern=r"^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$", max_length=300)
]


class FromPeer(BaseModel):
    """Something that another gateway has said."""

    model_config = ConfigDict(frozen=True, defer_build=True, extra="ignore")  # a newer release may say more


A = TypeVar("A", bound=FromPeer)


class Subject(FromPeer):
    """Through whose eyes the grant looks."""

    id: UUID
    username: Word


def _dialable(url: str) -> str:
    URL(url)  # ValueError: a port or a host that cannot be
    return url.rstrip("/")


Link = Annotated[str, StringConstraints(pattern=r"^https://[^/?#@\s\p{Cc}]+/?$"), AfterValidator(_dialable)]
"""Where a gateway's federation listener is, without a path."""


class Offered(FromPeer):
    """What the other gateway offers."""

    gateway: Word
    grant_id: UUID
    subject: Subject
    resources: tuple[Word, ...]
    scope: dict[str, Any]
    scope_in_words: tuple[Word, ...]
    expires_at: AwareDatetime
    ca_sha256: Word
    oid_arc: Annotated[str, StringConstraints(pattern=ARC)] = DEFAULT_ARC
    url: Link | None = None  # not said by release 0.1


def _storable(scope: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(scope, allow_nan=False)
    if "\\u0000" in text:
        raise ValueError("holds a NUL, which Postgres takes in no text")
    if len(text) > LONGEST_TEXT:
        raise ValueError("is larger than scopes are")
    return scope


def _one_certificate(pem: str) -> str:
    """The first block alone, for that is the pinned one: TLS would trust each further one as much."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode("ascii"))
    except UNREADABLE:
        raise ValueError("is no certificate") from None
    return certificate.public_bytes(Encoding.PEM).decode("ascii")


class Issued(FromPeer):
    """What it sends for a key that it had signed. Not checked yet but for its form."""

    scope: Annotated[dict[str, Any], AfterValidator(_storable)]
    url: Link
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


async def ask_to_sign(url: EnrollmentURL, csr: bytes, name: str) -> bytes:
    """Have a key signed; the token is spent by that. Raises as :func:`fetch_offer`."""
    return await _ask(url, "POST", {"csr": csr.decode("ascii"), "name": name})


def read_issued(
    answer: bytes, url: EnrollmentURL, offered: Offered, key: ec.EllipticCurvePrivateKey
) -> tuple[Issued, x509.Certificate]:
    """What was issued, and its leaf, once it is certain that it is ours, for this grant, and as it was offered.

    Raises :class:`Unavailable` for anything else.
    """
    issued = _parsed(Issued, answer, url)
    if offered.url is not None and issued.url != offered.url:
        raise Unavailable(f"{url.place} answers for another address than it offered")
    return issued, _checked(issued, url, offered, key)


def _checked(
    issued: Issued, url: EnrollmentURL, offered: Offered, key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    """The leaf, once it is certain that it is ours, for this grant, and from the authority of the URL."""
    ca = issued.ca.encode("ascii")
    try:
        pinned = fingerprint(ca) == url.ca_sha256
    except UNREADABLE:
        raise _does_not_verify(url.place) from None
    if not pinned:
        raise _other_authority(url)
    ids = (offered.grant_id, offered.subject.id)
    return read_leaf(issued.chain, url.place, ca=ca, oid_arc=offered.oid_arc, ids=ids, key=key)


def read_leaf(
    chain: str, who: str, *, ca: bytes, oid_arc: str, ids: tuple[UUID, UUID], key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    """The first certificate of ``chain``, once it is certain that it leads to ``ca``, and is for ``key`` and ``ids``.

    Both PEM; ``ids`` are of grant and subject. Raises :class:`Unavailable`, naming ``who``.
    """
    try:
        found = x509.load_pem_x509_certificates(chain.encode("ascii"))
        for certificate, issuer in zip(found, [*found[1:], x509.load_pem_x509_certificate(ca)], strict=True):
            _check_issued(certificate, issuer)
        certified = found[0].public_key()
    except UNREADABLE:
        raise _does_not_verify(who) from None
    claims = read_claims(found[0].public_bytes(Encoding.DER), oid_arc)
    if (claims.grant_id, claims.subject_id) != ids:
        raise Unavailable(f"{who} sent a certificate for another grant than ours")
    if certified != key.public_key():
        raise Unavailable(f"{who} sent a certificate for another key than ours")
    return found[0]


def _does_not_verify(who: str) -> Unavailable:
    return Unavailable(f"{who} sent a certificate that does not verify")


def _check_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    """Raise one of ``UNREADABLE`` unless an authority signed it: any other peer's key signs, too."""
    certificate.verify_directly_issued_by(issuer)
    if not issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
        raise ValueError("is no authority")


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


class Whoami(FromPeer):
    """Who a peer says that we are. What release 0.1 does not say is None."""

    gateway: Word
    grant_id: UUID
    subject: Subject
    scope: Annotated[dict[str, Any], AfterValidator(_storable)]
    scope_in_words: Annotated[tuple[Word, ...], Field(max_length=10_000)] | None = None
    grant_expires_at: AwareDatetime | None = None
    release: Word | None = None
    time: AwareDatetime | None = None


def read_whoami(body: bytes) -> Whoami:
    """Parse the answer to ``whoami``. Raises pydantic's ``ValidationError``."""
    return Whoami.model_validate_json(body)
