"""The two certificates of a new authority (RFC 5280), and their keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import NameOID

LIFE = timedelta(
    days=3650
)  # of both: who replaces the intermediate needs the root's key, and nobody else does
_SKEW = timedelta(minutes=5)

Key = ec.EllipticCurvePrivateKey


def new_key() -> Key:
    """A P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def encrypted(key: Key, password: bytes) -> bytes:
    """PKCS #8 PEM, encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))


def make_root(organisation: str, key: Key) -> x509.Certificate:
    """Self-signed; above one intermediate and no more."""
    name = _name(organisation, "root")
    return _certificate(name, name, key.public_key(), key, path_length=1)


def make_intermediate(organisation: str, key: Key, root: x509.Certificate, root_key: Key) -> x509.Certificate:
    """Signs leaves and revocation lists."""
    name = _name(organisation, "intermediate")
    return _certificate(name, root.subject, key.public_key(), root_key, path_length=0)


def _name(organisation: str, what: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{organisation[:48]} {what}"),
        ]
    )


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, signer: Key, *, path_length: int
) -> x509.Certificate:
    now = datetime.now(UTC).replace(microsecond=0)
    usage = x509.KeyUsage(
        key_cert_sign=True,
        crl_sign=True,
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
