"""Certificates as this authority makes them (RFC 5280). Pure: key and names in, certificate out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mosaic_hookspecs.certificates import PublicKey, host_name, id_name
from mosaic_hookspecs.errors import Invalid

_SKEW = timedelta(seconds=60)  # between the clocks of two gateways


@dataclass(frozen=True, slots=True)
class Root:
    """The trust anchor and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make_root(organisation: str, years: int) -> Root:
    """A self-signed P-256 root that may sign leaves only."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{organisation} embedded root"[:64]),
        ]
    )
    now = datetime.now(UTC).replace(microsecond=0)
    builder = (
        _builder(name, name, key.public_key(), now + timedelta(days=365 * years))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return Root(builder.sign(key, hashes.SHA256()), key)


def make_client(
    root: Root, key: PublicKey, *, grant_id: UUID, subject_id: UUID, oid_arc: str, not_after: datetime
) -> x509.Certificate:
    """A peer's certificate: the grant and its subject in the SAN, and nothing the peer chose but the key."""
    names = [id_name(f"{oid_arc}.1", grant_id), id_name(f"{oid_arc}.2", subject_id)]
    return _leaf(root, key, str(grant_id), names, ExtendedKeyUsageOID.CLIENT_AUTH, not_after)


def make_server(root: Root, key: PublicKey, *, names: Sequence[str], not_after: datetime) -> x509.Certificate:
    """A listener's certificate. Raises :class:`Invalid` without a name, or for one that is no name."""
    if not names:
        raise Invalid("a server certificate needs at least one DNS name or IP address")
    sans = [host_name(name) for name in names]
    return _leaf(root, key, names[0][:64], sans, ExtendedKeyUsageOID.SERVER_AUTH, not_after)


def _leaf(
    root: Root,
    key: PublicKey,
    common_name: str,
    names: Sequence[x509.GeneralName],
    purpose: x509.ObjectIdentifier,
    not_after: datetime,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    issuer = root.certificate
    issuer_key = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        _builder(subject, issuer.subject, key, min(not_after, issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key), critical=False
        )
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(root.key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PublicKey, not_after: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())  # 159 random bits
        .not_valid_before(datetime.now(UTC).replace(microsecond=0) - _SKEW)
        .not_valid_after(not_after.replace(microsecond=0))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
