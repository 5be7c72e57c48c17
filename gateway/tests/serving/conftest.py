"""An authority that signs on the spot, a small application, and a way to serve it."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from quart import Quart, request

from mosaic_gateway.serving import Endpoint, Limits, bind, serve
from mosaic_hookspecs.protocols import ServedListener
from mosaic_hookspecs.types import TLS, Listener, ListenerLimits


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Everything holds on both loops."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@dataclass(frozen=True)
class Certificate:
    pem: bytes
    key: bytes
    der: bytes

    @property
    def serial(self) -> str:
        return f"{x509.load_der_x509_certificate(self.der).serial_number:x}"


class Authority:
    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.root = self._sign(
            self._name, self._key, days=10, extension=x509.BasicConstraints(True, None)
        ).pem

    def issue(
        self, name: str, *, days: int = 1, since: int = 30, usage: x509.ObjectIdentifier | None = None
    ) -> Certificate:
        """A certificate for 127.0.0.1 that ends in ``days`` and began ``since`` days ago; either may be negative."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usages = [usage] if usage else [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        return self._sign(subject, key, days=days, since=since, extension=x509.ExtendedKeyUsage(usages))

    def crl(self, *revoked: Certificate, ends: timedelta = timedelta(hours=1)) -> bytes:
        """Its revocation list, DER, that is good until ``ends`` from now."""
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder(self._name, now - timedelta(hours=2), now + ends)
        for each in revoked:
            serial = x509.load_der_x509_certificate(each.der).serial_number
            entry = x509.RevokedCertificateBuilder(serial, now - timedelta(hours=2)).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.DER)

    def _sign(
        self, subject: x509.Name, key: Any, *, days: int, since: int = 30, extension: x509.ExtensionType
    ) -> Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder(subject_name=subject, issuer_name=self._name, public_key=key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=since))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(extension, critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
        )
        signed = builder.sign(self._key, hashes.SHA256())
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Certificate(signed.public_bytes(Encoding.PEM), private, signed.public_bytes(Encoding.DER))


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority("Test Root")


@pytest.fixture
def mutual_tls(authority: Authority) -> TLS:
    """What a listener that asks for client certificates is given."""
    server = authority.issue("server", usage=ExtendedKeyUsageOID.SERVER_AUTH)
    return TLS(server.pem, server.key, client_roots=authority.root)


@pytest.fixture
def client_context(authority: Authority, tmp_path: Path) -> Callable[..., ssl.SSLContext]:
    """Build a client's context, with a certificate or without."""

    def build(certificate: Certificate | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=authority.root.decode())
        if certificate is not None:
            path = tmp_path / "client.pem"
            path.write_bytes(certificate.key + certificate.pem)
            context.load_cert_chain(path)
        return context

    return build


@dataclass
class Site:
    """The application under test, and what it notices."""

    app: Quart = field(default_factory=lambda: Quart(__name__))
    requests: int = 0
    slow: asyncio.Event = field(default_factory=asyncio.Event)  # set while a slow answer is under way
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.fixture
def site() -> Site:
    made = Site()
    app = made.app
    app.config["MAX_CONTENT_LENGTH"] = 100_000

    @app.before_request
    async def count() -> None:
        made.requests += 1

    @app.get("/")
    async def hello() -> dict[str, Any]:
        certificate = request.scope["state"]["client_certificate"]  # type: ignore[typeddict-item]
        return {
            "version": request.http_version,
            "certificate": certificate and certificate.hex(),
            "client": request.scope["client"],
        }

    @app.get("/slow/<int:milliseconds>")
    async def slow(milliseconds: int) -> str:
        made.slow.set()
        try:
            await asyncio.sleep(milliseconds / 1000)
        except asyncio.CancelledError:
            made.cancelled.set()
            raise
        return "done"

    @app.get("/big")
    async def big() -> bytes:
        return bytes(20_000_000)

    @app.post("/length")
    async def length() -> str:
        return str(len(await request.get_data()))

    return made


@dataclass
class Served:
    port: int
    stop: asyncio.Event
    task: asyncio.Task[None]
    tls: TLS | None  # what a reload finds
    listeners: dict[str, ServedListener]

    @property
    def listener(self) -> ServedListener:
        return self.listeners["public"]

    async def stopped(self) -> float:
        """Stop; return how long that took, in seconds."""
        began = time.monotonic()
        self.stop.set()
        await self.task
        return time.monotonic() - began


Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture(params=[True, False], ids=["fast", "stock"])
def fast(request: pytest.FixtureRequest) -> bool:
    """Whether llhttp speaks HTTP/1.1, or h11: everything holds both ways."""
    return bool(request.param)


@pytest.fixture
def served(fast: bool) -> Serve:
    """Serve an application on a free port for the duration of a ``async with``."""

    @asynccontextmanager
    async def enter(
        app: Any,
        tls: TLS | None = None,
        *,
        http2: bool = True,
        spared: tuple[str, ...] = (),
        own: ListenerLimits | None = None,
        **limits: Any,
    ) -> AsyncIterator[Served]:
        async def material() -> TLS:
            assert server.tls is not None
            return server.tls

        listener = Listener(
            "public",
            "127.0.0.1",
            0,
            tls=material if tls else None,
            http2=http2,
            limits=own or ListenerLimits(),
        )
        socket = bind(listener)
        stop, listeners = asyncio.Event(), dict[str, ServedListener]()
        serving = serve(
            [Endpoint(listener, app, socket, spared)],
            stop=stop,
            limits=Limits(**{"drain": 2.0} | limits),
            served=listeners,
            fast=fast,
        )
        task = asyncio.create_task(serving)
        server = Served(socket.getsockname()[1], stop, task, tls, listeners)
        try:
            yield server
        finally:
            stop.set()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    return enter
