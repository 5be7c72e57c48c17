"""TLS of a listener: 1.3 unless it asks for less, no tickets, client certificates where the listener has roots."""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mosaic_gateway.serving.alerts import AlertingContext
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.types import TLS

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2 (RFC 9325, section 4.2); those of 1.3 are all good


def server_context(tls: TLS, *, listener: str, http2: bool = True) -> ssl.SSLContext:
    """Build the context of a listener, whole: one that is in use is never changed, only replaced.

    No tickets: resumption would let a client around the revocation of its certificate. TLS 1.2 resumes by
    session id all the same, within one context: there the look at each request decides.
    Raises :class:`ConfigError` if key, chain, roots or list cannot be read or do not belong together.
    """
    context = AlertingContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.minimum]
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    context.set_alpn_protocols(
        ["http/1.1", "h2"] if http2 else ["http/1.1"]
    )  # our order counts; h2 is slower
    try:
        with _readable(tls.key + b"\n" + tls.chain) as path:
            context.load_cert_chain(path, password="")  # never ask on the terminal for a passphrase
        if tls.client_roots is not None:
            context.load_verify_locations(cadata=tls.client_roots.decode("ascii"))
            context.verify_mode = ssl.CERT_REQUIRED
        if tls.client_crl is not None:
            with _readable(_pem(tls.client_crl)) as path:
                context.load_verify_locations(cafile=path)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or "not PEM"
        raise ConfigError(
            f"listener {listener!r}: its certificate, key, client roots or revocation list cannot be used ({reason})",
            remedy="give PEM: the leaf first, then its intermediates; the leaf's own key without passphrase",
        ) from None  # OpenSSL's text is in `reason`; the cause could quote the input
    return context


def _pem(crl: bytes) -> bytes:
    """A revocation list as OpenSSL reads it from files."""
    return b"-----BEGIN X509 CRL-----\n" + base64.encodebytes(crl) + b"-----END X509 CRL-----\n"


@contextmanager
def _readable(secret: bytes) -> Iterator[str]:
    """Give a path to ``secret``, which :mod:`ssl` takes from files only. It reaches no disk on Linux."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("tls", os.MFD_CLOEXEC), "wb", buffering=0) as memory:
            memory.write(secret)
            yield f"/proc/self/fd/{memory.fileno()}"
        return
    descriptor, path = tempfile.mkstemp()  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secret)
        yield path
    finally:
        Path(path).unlink()
