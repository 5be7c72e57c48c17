"""Who is refused by TLS is told why."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import replace

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID


def told(port: int, context: ssl.SSLContext) -> str:
    """OpenSSL's name of the alert that a client gets. By TLS 1.3 it takes the handshake for done by then."""
    with pytest.raises(ssl.SSLError) as refused, socket.create_connection(("127.0.0.1", port)) as raw:
        raw.settimeout(60)
        with context.wrap_socket(raw, server_hostname="127.0.0.1") as tls:
            tls.recv(1)
    return refused.value.reason


@pytest.mark.parametrize(
    ("who", "alert"),
    [
        ("nobody", "TLSV13_ALERT_CERTIFICATE_REQUIRED"),
        ("a stranger's", "TLSV1_ALERT_UNKNOWN_CA"),
        ("a namesake's", "TLSV1_ALERT_DECRYPT_ERROR"),
        ("expired", "SSLV3_ALERT_CERTIFICATE_EXPIRED"),
        ("not valid yet", "SSLV3_ALERT_BAD_CERTIFICATE"),
        ("revoked", "SSLV3_ALERT_CERTIFICATE_REVOKED"),
        ("a server's", "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE"),
    ],
)
async def test_a_refused_certificate_is_told_why(
    served, site, mutual_tls, authority, client_context, who, alert
) -> None:
    certificate = {
        "nobody": lambda: None,
        "a stranger's": lambda: type(authority)("Another Root").issue("peer"),
        "a namesake's": lambda: type(authority)("Test Root").issue("peer"),
        "expired": lambda: authority.issue("peer", days=-1),
        "not valid yet": lambda: authority.issue("peer", days=2, since=-1),
        "revoked": lambda: authority.issue("peer"),
        "a server's": lambda: authority.issue("peer", usage=ExtendedKeyUsageOID.SERVER_AUTH),
    }[who]()
    revoked = [certificate] if who == "revoked" else []
    async with served(site.app, replace(mutual_tls, client_crl=authority.crl(*revoked))) as server:
        for _ in range(20):  # each time: no matter what comes first, the alert or the end
            assert await asyncio.to_thread(told, server.port, client_context(certificate)) == alert
    assert site.requests == 0
