"""The two ids in a peer's certificate, and its key, read from its DER.

Below the arc that the gateway which shares has configured ``.1`` is the grant and ``.2`` the subject user, each an
otherName of the subject alternative name (RFC 5280, 4.2.1.6) that holds a UTF8String.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from mosaic_hookspecs.certificates import UNREADABLE
from mosaic_hookspecs.errors import Forbidden

_UUID_AS_UTF8STRING = bytes([0x0C, 36])  # DER tag and length


@dataclass(frozen=True, slots=True)
class Claims:
    """What a certificate says. Only the grant decides whether it is true."""

    grant_id: UUID
    subject_id: UUID
    serial: str  # lower-case hex
    key_sha256: bytes  # of its SubjectPublicKeyInfo
    not_before: datetime
    not_after: datetime


@lru_cache(maxsize=4096)
def read_claims(der: bytes, arc: str) -> Claims:
    """Parse a certificate whose chain TLS has checked; its ids are below ``arc``, a dotted OID.

    Raises :class:`Forbidden` unless each id is there exactly once and is a UUID in canonical form, and the
    certificate says that it is for TLS clients: OpenSSL lets pass what says nothing of its use.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        for_clients = _is_for_clients(certificate.extensions)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except UNREADABLE:
        raise _forbidden("has no subject alternative name, or no key, that can be read") from None
    if not for_clients:
        raise _forbidden("is not one for TLS clients, by its key usage")
    others = [name for name in names if isinstance(name, x509.OtherName)]
    return Claims(
        grant_id=_only(others, f"{arc}.1", "grant id"),
        subject_id=_only(others, f"{arc}.2", "subject id"),
        serial=f"{certificate.serial_number:x}",
        key_sha256=sha256(key).digest(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def _is_for_clients(extensions: x509.Extensions) -> bool:
    try:
        purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in purposes and usage.digital_signature


def _only(names: list[x509.OtherName], oid: str, what: str) -> UUID:
    values = [name.value for name in names if name.type_id.dotted_string == oid]
    if len(values) != 1:
        raise _forbidden(f"holds {len(values)} times a {what} ({oid}) where once is required")
    value = values[0]
    try:
        text = value[2:].decode("ascii")
        parsed = UUID(text)
    except ValueError:
        raise _forbidden(f"holds a {what} that is not a UUID") from None
    if value[:2] != _UUID_AS_UTF8STRING or str(parsed) != text:
        raise _forbidden(f"holds a {what} that is not a UUID in canonical form")
    return parsed


def _forbidden(what: str) -> Forbidden:
    return Forbidden(
        f"the client certificate {what}",
        remedy="use the certificate that enrollment issued for this grant",
    )
