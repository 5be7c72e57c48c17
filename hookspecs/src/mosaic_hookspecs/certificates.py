"""What authorities share: the key of a certificate signing request (RFC 2986), and the names they certify."""

from __future__ import annotations

import re
from ipaddress import ip_address
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mosaic_hookspecs.errors import Invalid

#: What `cryptography` raises for a certificate or a request that somebody else has made; few are ValueErrors.
UNREADABLE = (
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

_LARGEST = 8192  # bytes of PEM
_RSA_BITS = (3072, 8192)
_LONGEST_NAME = 253
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DNS_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*\Z")


def key_of(pem: bytes) -> PublicKey:
    """Return the key of a PEM request.

    Raises :class:`Invalid` if it is not PEM, is over 8 kB, is not signed by its own key, or the key is none of
    P-256, P-384, Ed25519 and RSA of 3072 to 8192 bits.
    """
    if len(pem) > _LARGEST:
        raise _invalid(f"is longer than {_LARGEST} bytes")
    try:
        request = x509.load_pem_x509_csr(pem)
        key = request.public_key()
        signed = request.is_signature_valid
    except UNREADABLE:
        raise _invalid("is not a PEM request that can be read") from None
    if not isinstance(key, PublicKey) or not _is_strong(key):
        raise _invalid("has a key of a kind or size that is not accepted")
    if not signed:
        raise _invalid("is not signed by its own key")
    return key


def id_name(oid: str, value: UUID) -> x509.OtherName:
    """An id as the alternative name of type ``oid``, a UTF8String (RFC 5280, 4.2.1.6)."""
    text = str(value).encode("ascii")
    return x509.OtherName(x509.ObjectIdentifier(oid), bytes([0x0C, len(text)]) + text)  # DER, short length


def host_name(name: str) -> x509.GeneralName:
    """What a listener is reached by: a DNS name, or an IP address. Raises :class:`Invalid` for anything else."""
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        pass
    if len(name) > _LONGEST_NAME or not _DNS_NAME.match(name):
        raise Invalid(f"{name!r} is neither a DNS name nor an IP address")
    return x509.DNSName(name)


def _is_strong(key: PublicKey) -> bool:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1)
    return not isinstance(key, rsa.RSAPublicKey) or _RSA_BITS[0] <= key.key_size <= _RSA_BITS[1]


def _invalid(what: str) -> Invalid:
    return Invalid(
        f"the certificate signing request {what}",
        remedy="send PEM with a key of P-256, P-384, Ed25519 or RSA from 3072 bits, signed by that key",
    )
