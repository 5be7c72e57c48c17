"""The listener for peers as it is served: what no longer holds is ended, what is renewed is taken up."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

import mosaic_federation.plugin as federation
from mosaic_embedded_ca import authority
from mosaic_federation.enrollment import Enrollment
from mosaic_federation.keys import client_context, key_pem, new_key, signing_request
from mosaic_federation.revocation_list import revocation_list
from mosaic_gateway.http import listener_app
from mosaic_gateway.serving import Endpoint, Limits, bind, serve
from mosaic_hookspecs.errors import Gone, Unavailable

if TYPE_CHECKING:
    from conftest import World

PATIENCE = 30.0  # seconds


@dataclass(frozen=True)
class Peer:
    """Who holds a certificate of the gateway, with a token of its offer that is spent."""

    grant_id: UUID
    token: str
    tls: ssl.SSLContext
    serial: str

    @asynccontextmanager
    async def connected(self, port: int) -> AsyncIterator[Connection]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=self.tls)
        try:
            yield Connection(reader, writer)
        finally:
            writer.transport.abort()

    async def asks(self, port: int) -> tuple[int, Any]:
        async with self.connected(port) as connection:
            return await connection.whoami()

    async def is_let_in(self, port: int) -> bool:
        try:
            return (await self.asks(port))[0] == 200
        except (OSError, EOFError):
            return False


@dataclass(frozen=True)
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def whoami(self) -> tuple[int, Any]:
        self.writer.write(b"GET /federation/v1/whoami HTTP/1.1\r\nHost: work\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            return int(head.split()[1]), json.loads(await self.reader.readexactly(length))

    async def ended(self) -> None:
        async with asyncio.timeout(PATIENCE):
            assert await self.reader.read() == b""

    @property
    def server_serial(self) -> int:
        tls: Any = self.writer.get_extra_info("ssl_object")
        return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True)).serial_number


async def peer(world: World) -> Peer:
    offer, key = await world.offer(), new_key()
    token = offer.url.partition("#")[0].rpartition("/")[2]
    answer = await Enrollment(world.host).redeem(token, csr=signing_request(key), name="home", request_id="r")
    chain = answer["chain"].encode()
    tls = client_context(ca=answer["ca"].encode(), chain=chain, key=key_pem(key))
    serial = f"{x509.load_pem_x509_certificates(chain)[0].serial_number:x}"
    return Peer(offer.grant.id, token, tls, serial)


@pytest.fixture
async def port(world: World) -> AsyncIterator[int]:
    """The listener, served."""
    (listener,) = federation.mosaic_listeners(world.host)
    bound = bind(replace(listener, port=0))
    mounts = [mount for mount in federation.mosaic_routes(world.host) if mount.listener == "federation"]
    app = listener_app("federation", mounts, max_body_bytes=1000)
    stop = asyncio.Event()
    serving = serve(
        [Endpoint(listener, app, bound)],
        stop=stop,
        limits=Limits(drain=0.1),
        served=world.gateway.listeners,
    )
    task = asyncio.create_task(serving)
    yield bound.getsockname()[1]
    stop.set()
    await task


@pytest.fixture
def listing(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Let the authority keep a list of these serials, signed by its root."""
    serials: set[str] = set()

    async def crl(self: Any) -> bytes:
        root, now = await self._root(), datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder(
            root.certificate.subject, now, now + timedelta(hours=1)
        )
        for serial in serials:
            entry = x509.RevokedCertificateBuilder(int(serial, 16), now).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(root.key, hashes.SHA256()).public_bytes(Encoding.DER)

    monkeypatch.setattr(authority.EmbeddedCA, "crl", crl)
    return serials


async def run_job(world: World) -> None:
    (job,) = [job for job in federation.mosaic_jobs(world.host) if job.name == "federation.listener"]
    await job.run({})


async def test_a_revocation_ends_open_connections_and_new_ones_are_told_why(world: World, port: int) -> None:
    bad, good = await peer(world), await peer(world)
    async with bad.connected(port) as first, bad.connected(port) as second, good.connected(port) as other:
        for each in (first, second, other):
            assert (await each.whoami())[0] == 200
        await world.grants.revoke(bad.grant_id, actor="test")
        await first.ended()
        await second.ended()
        assert (await other.whoami())[0] == 200
    status, body = await bad.asks(port)
    assert (status, body["detail"]) == (403, "the grant was revoked")


async def test_a_quarantine_ends_open_connections_until_the_grant_is_released(
    world: World, port: int
) -> None:
    mine = await peer(world)
    async with mine.connected(port) as connection:
        assert (await connection.whoami())[0] == 200
        with pytest.raises(Gone):
            await Enrollment(world.host).redeem(
                mine.token, csr=signing_request(new_key()), name="thief", request_id="r"
            )
        await connection.ended()
    await world.grants.release(mine.grant_id, actor="test")
    assert await mine.is_let_in(port)


async def test_what_the_authority_alone_revokes_is_ended_and_makes_no_connection(
    world: World, listing: set[str], port: int
) -> None:
    bad, good = await peer(world), await peer(world)
    async with bad.connected(port) as connection:
        assert (await connection.whoami())[0] == 200
        listing.add(bad.serial)
        await run_job(world)
        await connection.ended()
    assert not await bad.is_let_in(port)
    assert await good.is_let_in(port)


async def test_an_authority_that_is_gone_leaves_its_last_list_in_use(
    world: World, listing: set[str], port: int, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    bad, good = await peer(world), await peer(world)
    async with bad.connected(port) as connection:
        assert (await connection.whoami())[0] == 200
        listing.add(bad.serial)
        await run_job(world)
        await connection.ended()

    async def gone(_: Any) -> bytes:
        raise Unavailable("the certificate authority cannot be reached")

    monkeypatch.setattr(authority.EmbeddedCA, "crl", gone)
    await run_job(world)
    assert "the certificate authority cannot be reached" in caplog.text
    assert await good.is_let_in(port)
    assert not await bad.is_let_in(port)


async def test_an_older_list_never_takes_the_place_of_a_newer_one(world: World, listing: set[str]) -> None:
    older = await world.host.authority().crl()
    assert older is not None
    await world.pool.execute("DELETE FROM federation_revocation_lists")
    listing.add("abc")
    await asyncio.sleep(1.01)  # a list tells its time in seconds
    newer = await revocation_list(world.host)

    async def replayed(_: Any) -> bytes:
        return older

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(authority.EmbeddedCA, "crl", replayed)
        await run_job(world)
    assert await revocation_list(world.host) == newer


async def test_a_renewed_certificate_is_shown_without_ending_a_connection(
    world: World, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = await peer(world)
    async with mine.connected(port) as before:
        assert (await before.whoami())[0] == 200
        shown = before.server_serial
        await world.pool.execute("DELETE FROM federation_server_identity")
        await run_job(world)
        async with asyncio.timeout(PATIENCE):
            while (await served_serial(mine, port)) == shown:  # each asks over the wire
                pass
        assert (await before.whoami())[0] == 200


async def served_serial(mine: Peer, port: int) -> int:
    async with mine.connected(port) as connection:
        return connection.server_serial
