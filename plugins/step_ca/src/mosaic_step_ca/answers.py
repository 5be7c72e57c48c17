"""Check what the authority hands out: it must be what was asked, signed under the pinned root.

By hand on ``verify_directly_issued_by``: the path building of cryptography's ``x509.verification`` keeps to the
rules of the Web, by which a subject of otherNames alone, and a key of Ed25519, is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mosaic_hookspecs.certificates import UNREADABLE, PublicKey
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.types import IssuedCertificate

_LONGEST_CHAIN = 4  # certificates above a leaf
_SKEW = timedelta(minutes=2)  # between the authority's clock and ours
_UNFIT = (*UNREADABLE, AttributeError)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a certificate has to say: this, and nothing else."""

    key: PublicKey
    names: Sequence[x509.GeneralName]
    purpose: x509.ObjectIdentifier
    not_after: datetime


def checked(chain_pem: Sequence[str], root: bytes, asked: Asked) -> IssuedCertificate:
    """Return the chain without the root. Raises :class:`Unavailable` for any difference."""
    try:
        leaf, *above = (x509.load_pem_x509_certificate(pem.encode("ascii")) for pem in chain_pem)
        _check_chain(leaf, above, x509.load_pem_x509_certificate(root))
        _check_leaf(leaf, asked)
    except _UNFIT as error:
        raise Unavailable(
            f"the certificate authority has signed something else than was asked: {_words(error)}",
            remedy="compare its provisioner's template with the one of `mosaic federation ca init`",
        ) from None
    return IssuedCertificate(
        chain=b"".join(certificate.public_bytes(Encoding.PEM) for certificate in (leaf, *above)),
        serial=f"{leaf.serial_number:x}",
        not_after=leaf.not_valid_after_utc,
    )


def checked_intermediates(pems: object, root: bytes) -> list[x509.Certificate]:
    """Return them if each comes from ``root``, and there is one. Raises :class:`Unavailable` otherwise."""
    try:
        texts = pems if isinstance(pems, list) else []
        found = [x509.load_pem_x509_certificate(str(pem).encode("ascii")) for pem in texts]
        for each in found:
            _check_issued(each, x509.load_pem_x509_certificate(root))
    except _UNFIT:
        found = []
    if not found:
        raise _not_ours("intermediate is not signed")
    return found


def checked_list(der: bytes, signers: Sequence[x509.Certificate]) -> bytes:
    """Return a revocation list (RFC 5280, section 5) if one of ``signers`` signed it.

    Raises :class:`Unavailable` otherwise.
    """
    try:
        listed = x509.load_der_x509_crl(der)
        (signer,) = [each for each in signers if each.subject == listed.issuer]
        signed = listed.is_signature_valid(signer.public_key())  # type: ignore[arg-type]  # of a kind CAs have
    except _UNFIT:
        signed = False
    if not signed:
        raise _not_ours("revocation list is not signed")
    return der


def _check_chain(leaf: x509.Certificate, above: Sequence[x509.Certificate], root: x509.Certificate) -> None:
    if not 1 <= len(above) <= _LONGEST_CHAIN:
        raise _Difference("the chain has no intermediate, or too many")
    for lower, upper in zip((leaf, *above), (*above, root), strict=True):
        _check_issued(lower, upper)


def _check_issued(lower: x509.Certificate, upper: x509.Certificate) -> None:
    """Raise ValueError and its like unless ``upper`` is an authority, valid now, that signed ``lower``."""
    _check_signature(lower, upper)
    if not upper.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
        raise _Difference("it was signed by what is no authority")
    if not upper.not_valid_before_utc - _SKEW <= datetime.now(UTC) < upper.not_valid_after_utc:
        raise _Difference("its authority's own certificate has expired")


@lru_cache(maxsize=64)  # an intermediate is the same for all its leaves, and stays signed
def _check_signature(lower: x509.Certificate, upper: x509.Certificate) -> None:
    lower.verify_directly_issued_by(upper)


def _check_leaf(leaf: x509.Certificate, asked: Asked) -> None:
    extension = leaf.extensions.get_extension_for_class
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    now = datetime.now(UTC)
    rules = (
        (leaf.public_key().public_bytes(*form) == asked.key.public_bytes(*form), "the key is another"),
        (list(extension(x509.SubjectAlternativeName).value) == list(asked.names), "the names differ"),
        (list(extension(x509.ExtendedKeyUsage).value) == [asked.purpose], "the purposes differ"),
        (not extension(x509.BasicConstraints).value.ca, "it may sign certificates"),
        (leaf.not_valid_after_utc <= asked.not_after, "it ends too late"),
        (leaf.not_valid_before_utc - _SKEW <= now < leaf.not_valid_after_utc, "it is not valid now"),
    )
    for holds, words in rules:
        if not holds:
            raise _Difference(words)


class _Difference(ValueError):
    """In words of our own."""


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, _Difference) else "the chain does not verify, or cannot be read"


def _not_ours(what: str) -> Unavailable:
    return Unavailable(
        f"the certificate authority's {what} below the pinned root",
        remedy="see whether plugins.step_ca.url is its address, and `crl` is enabled in its ca.json",
    )
