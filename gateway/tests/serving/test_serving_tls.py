"""Mutual TLS: who gets in, and what the application learns of them."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import ssl
import tempfile
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from mosaic_gateway.serving import server as server_module
from mosaic_gateway.serving.tls import server_context
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.types import TLS


@pytest.mark.parametrize(
    ("http1", "http2", "version"), [(True, False, "1.1"), (False, True, "2"), (True, True, "1.1")]
)
async def test_the_application_gets_the_client_certificate_byte_for_byte(
    served, site, mutual_tls, authority, client_context, http1, http2, version
) -> None:
    mine = authority.issue("peer")
    client = httpx.AsyncClient(verify=client_context(mine), http1=http1, http2=http2)
    async with served(site.app, mutual_tls) as server, client:
        answers = [await client.get(f"https://127.0.0.1:{server.port}/") for _ in range(2)]
    assert [bytes.fromhex(answer.json()["certificate"]) for answer in answers] == [mine.der] * 2
    assert {answer.json()["version"] for answer in answers} == {version}


async def test_a_client_that_reads_last_gets_its_refusal_over_tls(
    served, site, mutual_tls, authority, client_context
) -> None:
    context = client_context(authority.issue("peer"))

    def post(port: int) -> int:
        client = http.client.HTTPSConnection("127.0.0.1", port, context=context)
        client.request("POST", "/length", body=bytes(5_000_000))
        return client.getresponse().status

    async with served(site.app, mutual_tls) as server:
        assert await asyncio.to_thread(post, server.port) == 413


async def test_connections_do_not_mix_their_certificates(
    served, site, mutual_tls, authority, client_context
) -> None:
    peers = [authority.issue(f"peer {n}") for n in range(5)]
    async with served(site.app, mutual_tls) as server:
        clients = [httpx.AsyncClient(verify=client_context(peer)) for peer in peers]
        for _ in range(2):
            answers = await asyncio.gather(*(c.get(f"https://127.0.0.1:{server.port}/") for c in clients))
            assert [a.json()["certificate"] for a in answers] == [peer.der.hex() for peer in peers]
        for client in clients:
            await client.aclose()


@pytest.mark.parametrize("who", ["nobody", "a stranger's", "expired", "not valid yet", "a server's"])
@pytest.mark.parametrize("http2", [False, True])
async def test_others_do_not_reach_the_application(
    served, site, mutual_tls, authority, client_context, who, http2
) -> None:
    certificate = {
        "nobody": lambda: None,
        "a stranger's": lambda: type(authority)("Test Root").issue("peer"),  # same name, another key
        "expired": lambda: authority.issue("peer", days=-1),
        "not valid yet": lambda: authority.issue("peer", days=2, since=-1),
        "a server's": lambda: authority.issue("peer", usage=ExtendedKeyUsageOID.SERVER_AUTH),
    }[who]()
    async with (
        served(site.app, mutual_tls) as server,
        httpx.AsyncClient(verify=client_context(certificate), http1=not http2, http2=http2) as client,
    ):
        with pytest.raises((httpx.TransportError, ssl.SSLError)):  # an alert, which httpx does not translate
            await client.get(f"https://127.0.0.1:{server.port}/")
    assert site.requests == 0


async def test_a_plain_request_is_refused(served, site, mutual_tls) -> None:
    async with served(site.app, mutual_tls) as server, httpx.AsyncClient() as client:
        with pytest.raises(httpx.TransportError):
            await client.get(f"http://127.0.0.1:{server.port}/")
    assert site.requests == 0


async def test_older_versions_of_tls_are_refused(served, site, mutual_tls, authority, client_context) -> None:
    context = client_context(authority.issue("peer"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with served(site.app, mutual_tls) as server:
        with pytest.raises(ssl.SSLError, match="protocol version"):
            await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
    assert site.requests == 0


async def test_no_session_can_be_resumed(served, site, mutual_tls, authority, client_context) -> None:
    context = client_context(authority.issue("peer"))

    def session(port: int) -> ssl.SSLSession | None:
        with (
            socket.create_connection(("127.0.0.1", port)) as raw,
            context.wrap_socket(raw, server_hostname="127.0.0.1") as tls,
        ):
            tls.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" in tls.recv(65536)  # a ticket would have come with it
            return tls.session

    async with served(site.app, mutual_tls) as server:
        got = await asyncio.to_thread(session, server.port)
    assert got is None or not got.has_ticket


async def test_a_handshake_that_does_not_come_is_cut_off(served, site, mutual_tls, monkeypatch) -> None:
    monkeypatch.setattr(server_module, "_HANDSHAKE", 0.4)
    async with served(site.app, mutual_tls) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()


async def test_handshakes_count_for_the_cap(served, site, mutual_tls) -> None:
    async with served(site.app, mutual_tls, max_connections=2) as server:
        held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        await asyncio.sleep(0.1)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await asyncio.wait_for(reader.read(), 30) == b""
        for _, open_writer in [*held, (reader, writer)]:
            open_writer.close()


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs Linux")
def test_the_key_reaches_no_disk(mutual_tls, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "mkstemp", None)
    server_context(mutual_tls, listener="federation")


def test_without_memory_files_the_key_is_removed_at_once(mutual_tls, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    server_context(mutual_tls, listener="federation")
    assert list(tmp_path.iterdir()) == []


def _locked(key: bytes) -> bytes:
    private = load_pem_private_key(key, None)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase"))


@pytest.mark.parametrize(
    "fault", ["another key", "no key", "locked key", "no chain", "bad roots", "binary roots"]
)
def test_unusable_material_is_a_config_error_without_the_key(mutual_tls, authority, fault: str) -> None:
    chain, key, roots = mutual_tls.chain, mutual_tls.key, mutual_tls.client_roots
    tls = {
        "another key": lambda: TLS(chain, authority.issue("other").key, roots),
        "no key": lambda: TLS(chain, b"", roots),
        "locked key": lambda: TLS(chain, _locked(key), roots),
        "no chain": lambda: TLS(b"", key, roots),
        "bad roots": lambda: TLS(chain, key, b"nothing"),
        "binary roots": lambda: TLS(chain, key, b"\xff\xfe"),
    }[fault]()
    with pytest.raises(ConfigError, match="listener 'federation'") as caught:
        server_context(tls, listener="federation")
    assert key.splitlines()[1].decode() not in str(caught.value)
    assert caught.value.remedy
