"""Key pairs of this gateway: made here, sealed before they are stored, never written in clear."""

from __future__ import annotations

import secrets
import ssl
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


def new_key() -> ec.EllipticCurvePrivateKey:
    """A P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS #8, not encrypted: for sealing and for TLS only."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def signing_request(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A PEM CSR that proves possession of ``key`` and asks for nothing: the authority decides the names."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return request.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def client_context(*, ca: bytes, chain: bytes, key: bytes) -> ssl.SSLContext:
    """A TLS 1.3 context that trusts ``ca`` alone and shows ``chain``. All PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=ca.decode("ascii"))
    # Python's ssl reads keys from files only: what touches the disk is encrypted with a password of the moment.
    password = secrets.token_bytes(32).hex().encode()
    private = load_pem_private_key(key, password=None)
    sealed = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
    with TemporaryDirectory() as directory:
        certificate = Path(directory, "chain.pem")
        certificate.write_bytes(chain)
        key_file = Path(directory, "key.pem")
        key_file.write_bytes(sealed)
        context.load_cert_chain(certificate, key_file, password)
    return context
