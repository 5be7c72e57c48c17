"""What OpenSSL says on the wire, from a real server of its own, in words that help."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from free_ports import free_port
from mosaic_embedded_ca.certificates import Root, make_client, make_root, make_server
from mosaic_federation.keys import client_context, key_pem, new_key
from mosaic_federation.settings import DEFAULT_ARC
from mosaic_federation.tls_errors import explain

OURS, THEIRS = make_root("ours", 1), make_root("theirs", 1)
ID: Any = "0b9f6c1e-2a51-4c0e-9d27-6f1f0a3b8c4d"
TOMORROW = datetime.now(UTC) + timedelta(days=1)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


@contextmanager
def s_server(directory: Path, leaf: x509.Certificate, key: Any, *options: str) -> Iterator[int]:
    """Run OpenSSL's own server, which asks for a client certificate of THEIRS."""
    program = shutil.which("openssl")
    if not program:
        pytest.skip("needs openssl: apt-get install openssl")
    for name, text in (("leaf", pem(leaf)), ("key", key_pem(key)), ("ca", pem(THEIRS.certificate))):
        (directory / name).write_bytes(text)
    port = free_port()
    files = ["-cert", directory / "leaf", "-key", directory / "key", "-CAfile", directory / "ca"]
    command = [program, "s_server", "-accept", f"127.0.0.1:{port}", "-www", "-quiet", *files, *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield port
    finally:
        process.kill()
        process.wait(60)


async def dialled(port: int, *, issuer: Root = THEIRS) -> tuple[str, str]:
    """Cause and remedy of asking it, with a certificate of ``issuer``."""
    key = new_key()
    ids = {"grant_id": ID, "subject_id": ID, "oid_arc": DEFAULT_ARC}
    chain = pem(make_client(issuer, key.public_key(), **ids, not_after=TOMORROW))
    context = client_context(ca=pem(THEIRS.certificate), chain=chain, key=key_pem(key))
    with pytest.raises((aiohttp.ClientError, OSError)) as caught:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as client,
            client.get(f"https://127.0.0.1:{port}/", ssl=context) as response,
        ):
            await response.read()
    return explain(caught.value)


def listener(root: Root, key: Any, name: str = "127.0.0.1") -> x509.Certificate:
    return make_server(root, key.public_key(), names=[name], not_after=TOMORROW)


def at(start: float, end: float) -> Callable[[Any], x509.Certificate]:
    """A listener's certificate, valid between two hours from now."""

    def make(key: Any) -> x509.Certificate:
        good, now = listener(THEIRS, key), datetime.now(UTC)
        builder = x509.CertificateBuilder(good.issuer, good.subject, key.public_key(), good.serial_number)
        builder = builder.not_valid_before(now + timedelta(hours=start)).not_valid_after(
            now + timedelta(hours=end)
        )
        for extension in good.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        return builder.sign(THEIRS.key, hashes.SHA256())

    return make


VERIFYING = ("-Verify", "2", "-verify_return_error")


async def test_a_server_that_does_not_know_our_authority(tmp_path: Path) -> None:
    key = new_key()
    with s_server(tmp_path, listener(THEIRS, key), key, *VERIFYING) as port:
        cause, remedy = await dialled(port, issuer=OURS)
    assert cause == "it does not know the authority that signed our certificate"
    assert "grant reissue" in remedy


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda key: listener(OURS, key), "does not come from the pinned authority"),
        (lambda key: listener(THEIRS, key, "work.example"), "is for another address"),
        (at(-48, -24), "has expired, by our clock"),
        (at(24, 48), "not valid yet, by our clock"),
    ],
)
async def test_a_server_whose_certificate_we_do_not_believe(
    tmp_path: Path, make: Callable[[Any], x509.Certificate], says: str
) -> None:
    key = new_key()
    with s_server(tmp_path, make(key), key) as port:
        cause, _ = await dialled(port)
    assert says in cause


async def test_a_server_of_an_older_tls(tmp_path: Path) -> None:
    key = new_key()
    with s_server(tmp_path, listener(THEIRS, key), key, "-tls1_2") as port:
        assert (await dialled(port))[0] == "it does not speak TLS 1.3"


async def test_a_port_where_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
    assert (await dialled(port))[0] == "nothing listens there"


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        (
            "SSLV3_ALERT_CERTIFICATE_EXPIRED",
            "our certificate, or its authority's revocation list, has expired",
        ),
        ("SSLV3_ALERT_CERTIFICATE_REVOKED", "our certificate is revoked"),
        ("SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "not for this purpose"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "shown no certificate"),
        ("TLSV1_ALERT_UNKNOWN_CA", "does not know the authority"),
        ("TLSV1_ALERT_ACCESS_DENIED", "accepts our certificate, but not us"),
        ("TLSV1_UNRECOGNIZED_NAME", "does not go by this name"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "no common way"),
        ("UNEXPECTED_EOF_WHILE_READING", "closed the connection"),
    ],
)
def test_openssls_names_of_alerts(reason: str, says: str) -> None:
    error = OSError(1, f"[SSL: {reason}] as OpenSSL has it")
    error.reason = reason  # type: ignore[attr-defined]  # as ssl.SSLError has it
    cause, remedy = explain(error)
    assert says in cause
    assert remedy
