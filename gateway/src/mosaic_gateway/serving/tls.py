"""TLS of a listener: 1.3 only, no session resumption, client certificates where the listener has roots."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.types import TLS


def server_context(tls: TLS, *, listener: str) -> ssl.SSLContext:
    """Build the context of a listener.

    1.3 only, and no tickets: resumption would let a client around the revocation of its certificate.
    Raises :class:`ConfigError` if key, chain or roots cannot be read or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1", "h2"])  # our order counts; h2 is the slower one here
    try:
        with _readable(tls.key + b"\n" + tls.chain) as path:
            context.load_cert_chain(path, password="")  # never ask on the terminal for a passphrase
        if tls.client_roots is not None:
            context.load_verify_locations(cadata=tls.client_roots.decode("ascii"))
            context.verify_mode = ssl.CERT_REQUIRED
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or "not PEM"
        raise ConfigError(
            f"listener {listener!r}: its certificate, key or client roots cannot be used ({reason})",
            remedy="give PEM: the leaf first, then its intermediates; the leaf's own key without passphrase",
        ) from None  # OpenSSL's text is in `reason`; the cause could quote the input
    return context


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
