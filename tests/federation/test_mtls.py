"""The listener for peers, met without our own client: what TLS lets in, and what it does not."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from asked_again import ask_until
from mosaic_federation.keys import client_context, key_pem, new_key, signing_request


@dataclass(frozen=True)
class Enrolled:
    """A grant redeemed by hand."""

    grant_id: str
    ca: bytes
    chain: bytes
    key: bytes

    @property
    def tls(self) -> ssl.SSLContext:
        return client_context(ca=self.ca, chain=self.chain, key=self.key)


def redeem(work: Any) -> Enrolled:
    offer, key = work.offer(), new_key()
    body = {"csr": signing_request(key).decode(), "name": "byhand"}
    answer = httpx.post(offer["url"].partition("#")[0], json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    issued = answer.json()
    return Enrolled(offer["id"], issued["ca"].encode(), issued["chain"].encode(), key_pem(key))


@pytest.fixture(scope="module")
def enrolled(gateways: Any) -> Enrolled:
    return redeem(gateways[1])


def whoami(work: Any, tls: ssl.SSLContext) -> httpx.Response:
    with httpx.Client(verify=tls, base_url=work.link, timeout=60) as client:
        return client.get("/federation/v1/whoami")


def test_the_enrolled_certificate_is_let_in_over_tls_1_3(work: Any, enrolled: Enrolled) -> None:
    with (
        httpx.Client(verify=enrolled.tls, base_url=work.link, timeout=60) as client,
        client.stream("GET", "/federation/v1/whoami") as response,
    ):
        assert response.status_code == 200
        assert response.extensions["network_stream"].get_extra_info("ssl_object").version() == "TLSv1.3"


def test_the_listener_has_no_public_route(work: Any, enrolled: Enrolled) -> None:
    with httpx.Client(verify=enrolled.tls, base_url=work.link, timeout=60) as client:
        for path in ("/v1/tasks", "/healthz", "/openapi.json", "/federation/v1/enroll/x"):
            assert client.get(path, headers={"Authorization": f"Bearer {work.token}"}).status_code == 404


def test_without_a_certificate_there_is_no_connection(work: Any, enrolled: Enrolled) -> None:
    context = ssl.create_default_context(cadata=enrolled.ca.decode())
    with pytest.raises(httpx.TransportError):
        whoami(work, context)


def test_a_certificate_from_another_authority_makes_no_connection(
    home: Any, work: Any, enrolled: Enrolled
) -> None:
    stranger = redeem(home)
    context = client_context(ca=enrolled.ca, chain=stranger.chain, key=stranger.key)
    with pytest.raises(httpx.TransportError):
        whoami(work, context)


def test_a_certificate_signed_by_itself_makes_no_connection(work: Any, enrolled: Enrolled) -> None:
    theirs = x509.load_pem_x509_certificates(enrolled.chain)[0]
    key, now = new_key(), datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(theirs.subject)
        .issuer_name(theirs.issuer)
        .public_key(key.public_key())
        .serial_number(theirs.serial_number)
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
    )
    for extension in theirs.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    forged = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    with pytest.raises(httpx.TransportError):
        whoami(work, client_context(ca=enrolled.ca, chain=forged, key=key_pem(key)))


def test_older_tls_makes_no_connection(work: Any, enrolled: Enrolled) -> None:
    context = enrolled.tls
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(httpx.TransportError):
        whoami(work, context)


def test_a_revoked_grant_is_refused_and_its_connections_end_in_every_worker(work: Any) -> None:
    mine = redeem(work)
    with httpx.Client(verify=mine.tls, base_url=work.link, timeout=60) as client:
        assert client.get("/federation/v1/tasks").status_code == 200
        with ExitStack() as stack:
            opened = [
                stack.enter_context(
                    mine.tls.wrap_socket(
                        socket.create_connection(("127.0.0.1", work.peer_port)), server_hostname="127.0.0.1"
                    )
                )
                for _ in range(12)  # so that each of the two workers has some
            ]
            for each in opened:
                each.sendall(b"GET /federation/v1/whoami HTTP/1.1\r\nHost: work\r\n\r\n")
                assert each.recv(15) == b"HTTP/1.1 200 \r\n"[:15]
            work.run("federation", "grant", "revoke", mine.grant_id)
            refused = ask_until(client, "/federation/v1/tasks", 403)
            for each in opened:
                each.settimeout(30)
                while each.recv(65536):  # to the end, which nobody but the gateway makes
                    pass
    assert (refused.status_code, refused.json()["detail"]) == (403, "the grant was revoked")


async def test_of_fifty_redemptions_at_once_exactly_one_succeeds(work: Any) -> None:
    url = work.offer()["url"].partition("#")[0]
    bodies = [{"csr": signing_request(new_key()).decode(), "name": "race"} for _ in range(50)]
    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=50)) as client:
        answers = await asyncio.gather(*(client.post(url, json=body) for body in bodies))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] + [410] * 49


def test_a_request_that_asks_for_more_gets_a_clean_certificate(work: Any) -> None:
    key = new_key()
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("127.0.0.1")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    offer = work.offer()
    body = {"csr": request.public_bytes(Encoding.PEM).decode(), "name": "more"}
    issued = httpx.post(offer["url"].partition("#")[0], json=body, timeout=60).json()
    leaf = x509.load_pem_x509_certificates(issued["chain"].encode())[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {type(name) for name in names} == {x509.OtherName}
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert leaf.subject.rfc4514_string() == f"CN={offer['id']}"
