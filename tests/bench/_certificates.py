"""An authority with a server's certificate and a client's, as files, for servers that are no gateway."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


def make_certificates(directory: Path) -> Path:
    """Write ``ca.pem``, ``server.pem`` and ``server.key``, ``chain.pem`` and ``key.pem`` (P-256, as a gateway's)."""
    directory.mkdir()
    name, root = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")]), _key()
    _write(directory / "ca.pem", _certificate(name, root, root, name, ca=True))
    for certificate, key_file in (("server.pem", "server.key"), ("chain.pem", "key.pem")):
        key, subject = _key(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, certificate)])
        _write(directory / certificate, _certificate(name, root, key, subject, ca=False))
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (directory / key_file).write_bytes(pem)
    return directory


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _certificate(
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
    subject: x509.Name,
    *,
    ca: bool,
) -> x509.Certificate:
    now, address = datetime.now(UTC), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    return (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _write(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
