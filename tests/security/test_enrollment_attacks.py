"""Attacks on enrollment and on what it hands out, through the doors that an attacker has."""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from asked_again import ask_until
from mosaic_embedded_ca.certificates import make_client, make_server
from mosaic_federation.keys import client_context, key_pem, new_key, signing_request
from mosaic_gateway.boot import open_gateway
from mosaic_gateway.compose import compose
from mosaic_gateway.config import read_config
from mosaic_hookspecs.types import TLS

ARC = "1.3.6.1.4.1.99999"


@pytest.fixture(scope="module")
def work(new_gateway: Callable[..., Any]) -> Iterator[Any]:
    """A gateway that shares, in two processes."""
    gateway = new_gateway("work", workers=2)
    gateway.start()
    yield gateway
    gateway.stop()


_addresses = iter(f"127.0.{a}.{b}" for a in range(2, 250) for b in range(1, 250))


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """An attacker at an address of their own: limits of one test disturb no other."""
    transport = httpx.HTTPTransport(local_address=next(_addresses))
    with httpx.Client(transport=transport, timeout=60) as client:
        yield client


def place(offer: Any) -> str:
    return str(offer["url"].partition("#")[0])


def redemption(csr: bytes, name: str = "home") -> dict[str, str]:
    return {"csr": csr.decode(), "name": name}


def request_of(key: Any, *extensions: x509.ExtensionType, name: str = "") -> bytes:
    names = [x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    signs_itself = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return builder.sign(key, None if signs_itself else hashes.SHA256()).public_bytes(Encoding.PEM)


def pem(key: Any) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def enrolled(work: Any, http: httpx.Client, key: Any = None) -> tuple[Any, dict[str, Any], ssl.SSLContext]:
    """A grant redeemed: the offer, the answer, and the TLS of its peer."""
    key, offer = key or new_key(), work.offer()
    answer = http.post(place(offer), json=redemption(request_of(key)))
    assert answer.status_code == 200, answer.text
    issued = answer.json()
    return offer, issued, tls(issued, issued["chain"].encode(), key)


def tls(issued: dict[str, Any], chain: bytes, key: Any) -> ssl.SSLContext:
    return client_context(ca=issued["ca"].encode(), chain=chain, key=pem(key))


def whoami(work: Any, context: ssl.SSLContext) -> httpx.Response:
    with httpx.Client(verify=context, base_url=work.link, timeout=60) as client:
        return client.get("/federation/v1/whoami")


def leaf_of(issued: dict[str, Any]) -> x509.Certificate:
    return x509.load_pem_x509_certificate(issued["chain"].encode())


async def root_of(work: Any) -> Any:
    """The authority itself, with its key: whoever has it is past all that an outsider could do."""
    async with open_gateway(compose(read_config(work.config)), serving=False) as gateway:
        authority: Any = gateway.composition.view("federation").authority()
        return await authority._root()


# The token


async def test_of_a_thousand_redemptions_at_once_one_succeeds_and_nobody_keeps_it_unlooked_at(
    work: Any,
) -> None:
    offer = work.offer()
    addresses = [next(_addresses) for _ in range(20)]
    # All made before anybody connects: who then says nothing for long is cut off.
    wanted = [[redemption(signing_request(new_key()), "race") for _ in range(50)] for _ in addresses]

    async def from_one(address: str, bodies: list[dict[str, str]]) -> list[int]:
        transport = httpx.AsyncHTTPTransport(local_address=address, limits=httpx.Limits(max_connections=50))
        async with httpx.AsyncClient(transport=transport, timeout=250) as client:
            answers = await asyncio.gather(*(client.post(place(offer), json=body) for body in bodies))
            return [answer.status_code for answer in answers]

    answered = await asyncio.gather(*map(from_one, addresses, wanted))
    statuses = Counter(status for each in answered for status in each)
    assert statuses[200] == 1
    assert statuses[410] >= 50
    assert set(statuses) <= {200, 410, 429, 503}  # 503: too much at once for this machine
    assert work.json("federation", "grant", "show", offer["id"])["status"] == "quarantined"
    async with work.database() as database:
        query = "SELECT count(*) FROM embedded_ca_certificates WHERE grant_id = $1::uuid"
        assert await database.fetchval(query, offer["id"]) == 1


def test_a_replay_with_the_same_request_or_another_is_gone(work: Any, http: httpx.Client) -> None:
    offer, same = work.offer(), redemption(signing_request(new_key()))
    first = http.post(place(offer), json=same)
    again = [http.post(place(offer), json=body) for body in (same, redemption(signing_request(new_key())))]
    assert [answer.status_code for answer in (first, *again)] == [200, 410, 410]
    assert "CERTIFICATE" not in "".join(answer.text for answer in again)


def test_the_first_certificate_is_refused_once_its_url_was_used_again(work: Any, http: httpx.Client) -> None:
    offer, _, context = enrolled(work, http)
    with httpx.Client(verify=context, base_url=work.link, timeout=60) as peer:
        before = peer.get("/federation/v1/whoami")
        http.post(place(offer), json=redemption(signing_request(new_key())))
        after = ask_until(peer, "/federation/v1/whoami", 403)
    assert (before.status_code, after.status_code) == (200, 403)
    assert "quarantined" in after.json()["detail"]


def test_guesses_find_nothing_tell_nothing_and_are_slowed_down(work: Any, http: httpx.Client) -> None:
    offer = work.offer()
    base, _, token = place(offer).rpartition("/")
    near = [
        token[:-1],
        token + "A",
        token.swapcase(),
        token[::-1],
        f"%20{token}",
        f"{token}%00",
        "é" * 43,
        "x",
    ]
    answers = [
        http.get(f"{base}/{guess}") for guess in [*near, *(secrets.token_urlsafe(32) for _ in range(72))]
    ]
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {404, 429}
    assert statuses.count(404) <= 2 * 60, "one limit for each of the two processes"
    details = {answer.json()["detail"] for answer in answers if answer.status_code == 404}
    assert details == {"this enrollment URL is not known here"}
    assert work.json("federation", "grant", "show", offer["id"])["status"] == "pending"


@pytest.mark.parametrize("end", ["revoked", "reissued", "expired"])
def test_a_url_that_was_taken_back_enrolls_nobody(work: Any, http: httpx.Client, end: str) -> None:
    offer = work.offer()
    if end == "revoked":
        work.run("federation", "grant", "revoke", offer["id"])
    elif end == "reissued":
        work.run("federation", "grant", "reissue", offer["id"])
    else:
        asyncio.run(expire(work, offer["id"]))
    answer = http.post(place(offer), json=redemption(signing_request(new_key())))
    assert answer.status_code == 410
    assert work.json("federation", "grant", "show", offer["id"])["serial"] is None


async def expire(work: Any, grant_id: str) -> None:
    query = "UPDATE federation_enrollment_tokens SET expires_at = now() WHERE grant_id = $1::uuid"
    async with work.database() as database:
        await database.execute(query, grant_id)


# The request for a certificate


def spoofed(oid: str) -> x509.OtherName:
    return x509.OtherName(x509.ObjectIdentifier(oid), b"\x0c\x24" + str(uuid4()).encode())


SPOOFS: dict[str, tuple[x509.ExtensionType, ...]] = {
    "ids of another grant": (x509.SubjectAlternativeName([spoofed(f"{ARC}.1"), spoofed(f"{ARC}.2")]),),
    "a listener's name": (x509.SubjectAlternativeName([x509.DNSName("work.example")]),),
    "an authority": (
        x509.BasicConstraints(ca=True, path_length=None),
        x509.KeyUsage(
            False, False, False, False, False, True, True, False, False
        ),  # signs certificates, CRLs
    ),
    "a server's purpose": (x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),),
}


@pytest.mark.parametrize("extensions", SPOOFS.values(), ids=SPOOFS)
def test_nothing_but_the_key_of_a_request_reaches_the_certificate(
    work: Any, http: httpx.Client, extensions: tuple[x509.ExtensionType, ...]
) -> None:
    offer, key = work.offer(), new_key()
    csr = request_of(key, *extensions, name="root")
    issued = http.post(place(offer), json=redemption(csr)).json()
    leaf = leaf_of(issued)
    assert leaf.public_key() == key.public_key()
    assert "root" not in leaf.subject.rfc4514_string()
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    told = {name.type_id.dotted_string: name.value[2:].decode() for name in names}  # type: ignore[attr-defined]
    assert told == {f"{ARC}.1": offer["id"], f"{ARC}.2": issued["subject"]["id"]}
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not leaf.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]
    assert whoami(work, tls(issued, issued["chain"].encode(), key)).json()["grant_id"] == offer["id"]


WEAK = {
    "RSA 2048": lambda: rsa.generate_private_key(65537, 2048),
    "P-224": lambda: ec.generate_private_key(ec.SECP224R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "Ed448": ed448.Ed448PrivateKey.generate,
}
STRONG = {
    "RSA 3072": lambda: rsa.generate_private_key(65537, 3072),
    "P-256": new_key,
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize("make", WEAK.values(), ids=WEAK)
def test_a_key_of_another_kind_or_size_is_refused_and_the_token_kept(
    work: Any, http: httpx.Client, make: Callable[[], Any]
) -> None:
    offer = work.offer()
    answer = http.post(place(offer), json=redemption(request_of(make())))
    assert (answer.status_code, "kind or size" in answer.json()["detail"]) == (422, True)
    assert http.get(place(offer)).status_code == 200


@pytest.mark.parametrize("make", STRONG.values(), ids=STRONG)
def test_a_strong_key_enrolls_and_is_let_in(work: Any, http: httpx.Client, make: Callable[[], Any]) -> None:
    offer, _, context = enrolled(work, http, make())
    assert whoami(work, context).json()["grant_id"] == offer["id"]


def test_a_request_signed_by_another_key_is_refused(work: Any, http: httpx.Client) -> None:
    der = bytearray(x509.load_pem_x509_csr(signing_request(new_key())).public_bytes(Encoding.DER))
    der[-1] ^= 1
    csr = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)
    assert http.post(place(work.offer()), json=redemption(csr)).status_code == 422


def test_one_key_gets_one_certificate_and_opens_one_grant(work: Any, http: httpx.Client) -> None:
    key = new_key()
    first, _, context = enrolled(work, http, key)
    second = work.offer()
    answer = http.post(place(second), json=redemption(request_of(key)))
    assert (answer.status_code, "has a certificate already" in answer.json()["detail"]) == (409, True)
    assert work.json("federation", "grant", "show", second["id"])["status"] == "pending"
    assert whoami(work, context).json()["grant_id"] == first["id"]


# The certificate


async def test_a_certificate_that_the_authority_signed_but_no_grant_has_on_record_opens_nothing(
    work: Any, http: httpx.Client
) -> None:
    x, issued_x, _ = enrolled(work, http)
    y, issued_y, _ = enrolled(work, http)
    root, key = await root_of(work), new_key()
    subject = issued_x["subject"]["id"]
    for grant_id in (x["id"], y["id"], str(uuid4())):
        ids = {"grant_id": grant_id, "subject_id": subject, "oid_arc": ARC}
        made = make_client(root, key.public_key(), **ids, not_after=datetime.now(UTC) + timedelta(hours=1))
        answer = whoami(work, tls(issued_y, made.public_bytes(Encoding.PEM), key))
        assert (answer.status_code, "does not belong" in answer.json()["detail"]) == (403, True)


async def test_a_copy_of_an_active_certificate_for_another_key_opens_nothing(
    work: Any, http: httpx.Client
) -> None:
    """Whoever has the authority's key can copy ids, serial and every extension, but not the peer's key."""
    key = new_key()
    offer, issued, context = enrolled(work, http, key)
    root, leaf, forger = await root_of(work), leaf_of(issued), new_key()
    answers = []
    for public, shown in ((key.public_key(), key), (forger.public_key(), forger)):
        builder = (
            x509.CertificateBuilder(leaf.issuer, leaf.subject, public, leaf.serial_number)
            .not_valid_before(leaf.not_valid_before_utc)
            .not_valid_after(leaf.not_valid_after_utc)
        )
        for extension in leaf.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        copy = builder.sign(root.key, hashes.SHA256()).public_bytes(Encoding.PEM)
        answers.append(whoami(work, tls(issued, copy, shown)))
    same, other = answers
    assert (same.status_code, same.json()["grant_id"]) == (
        200,
        offer["id"],
    )  # only the key made the difference
    assert (other.status_code, "does not belong" in other.json()["detail"]) == (403, True)
    assert whoami(work, context).status_code == 200


def test_a_certificate_without_a_key_on_record_opens_nothing(work: Any, http: httpx.Client) -> None:
    """As release 0.1 left them: a copy could not be told from it, so its peer enrolls anew."""
    offer, _, context = enrolled(work, http)
    asyncio.run(forget_key(work, offer["id"]))
    answer = whoami(work, context)
    assert (answer.status_code, "enroll anew" in answer.json()["detail"]) == (403, True)
    renewed, key = work.json("federation", "grant", "reissue", offer["id"]), new_key()
    issued = http.post(place(renewed), json=redemption(signing_request(key))).json()
    assert whoami(work, tls(issued, issued["chain"].encode(), key)).json()["grant_id"] == offer["id"]


async def forget_key(work: Any, grant_id: str) -> None:
    query = "UPDATE federation_certificates SET key_sha256 = NULL WHERE grant_id = $1::uuid"
    async with work.database() as database:
        await database.execute(query, grant_id)


async def test_a_certificate_out_of_its_time_makes_no_connection(work: Any, http: httpx.Client) -> None:
    offer, issued, _ = enrolled(work, http)
    root, key, leaf, now = await root_of(work), new_key(), leaf_of(issued), datetime.now(UTC)
    for start, end in ((-48, -24), (24, 48)):  # hours from now
        builder = (
            x509.CertificateBuilder()
            .subject_name(leaf.subject)
            .issuer_name(leaf.issuer)
            .public_key(key.public_key())
            .serial_number(leaf.serial_number)
            .not_valid_before(now + timedelta(hours=start))
            .not_valid_after(now + timedelta(hours=end))
        )
        for extension in leaf.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        made = builder.sign(root.key, hashes.SHA256()).public_bytes(Encoding.PEM)
        with pytest.raises(httpx.TransportError):
            whoami(work, tls(issued, made, key))
    assert work.json("federation", "grant", "show", offer["id"])["status"] == "active"


async def test_a_listeners_certificate_is_no_peers(work: Any, http: httpx.Client) -> None:
    _, issued, _ = enrolled(work, http)
    root, key = await root_of(work), new_key()
    until = datetime.now(UTC) + timedelta(hours=1)
    made = make_server(root, key.public_key(), names=["127.0.0.1"], not_after=until)
    with pytest.raises(httpx.TransportError):
        whoami(work, tls(issued, made.public_bytes(Encoding.PEM), key))


def test_a_replaced_certificate_is_refused_at_once_on_an_open_connection(
    work: Any, http: httpx.Client
) -> None:
    offer, _, context = enrolled(work, http)
    renewed = work.json("federation", "grant", "reissue", offer["id"])
    with httpx.Client(verify=context, base_url=work.link, timeout=60) as peer:
        before = peer.get("/federation/v1/whoami")
        key = new_key()
        issued = http.post(place(renewed), json=redemption(signing_request(key))).json()
        after = ask_until(peer, "/federation/v1/whoami", 403)
    assert (before.status_code, after.status_code) == (200, 403)
    assert "a newer certificate has taken the place" in after.json()["detail"]
    assert whoami(work, tls(issued, issued["chain"].encode(), key)).status_code == 200


# What is told


def test_no_token_and_no_key_is_in_any_answer_log_or_audit_row(work: Any, http: httpx.Client) -> None:
    offer, key = work.offer(), new_key()
    token = place(offer).rpartition("/")[2]
    csr = signing_request(key)
    bodies: list[Any] = [
        b"{", b"[]", json.dumps({"csr": token, "name": token}), json.dumps({"csr": "x" * 9000, "name": "home"}),
        json.dumps(redemption(csr) | {"more": token}), json.dumps(redemption(b"-----BEGIN")), b"x" * 20_000,
        json.dumps(redemption(csr, "Not A Name")),
    ]  # fmt: skip
    answers = [http.post(place(offer), content=body) for body in bodies]
    answers += [http.get(f"{place(offer)}/more"), http.put(place(offer)), http.get(place(offer))]
    answers += [http.post(place(offer), json=redemption(csr)) for _ in range(3)]
    assert {answer.status_code for answer in answers} >= {200, 404, 405, 410, 413, 422}
    for answer in answers:
        assert token not in answer.text
        assert token not in str(answer.headers)
        assert "PRIVATE" not in answer.text
    for text in (work.log.read_text(), work.run("audit", "tail", "--limit", "200", "--json")):
        assert token not in text
        assert "BEGIN CERTIFICATE" not in text
        assert "PRIVATE" not in text


def test_a_row_that_is_withheld_is_named_to_nobody(work: Any, http: httpx.Client) -> None:
    row, key = work.add("tasks", title="withheld"), new_key()
    offer = work.offer("--resource", "tasks", "--personal", "--exclude", f"tasks/{row}")
    seen = http.get(place(offer))
    issued = http.post(place(offer), json=redemption(signing_request(key)))
    told = whoami(work, tls(issued.json(), issued.json()["chain"].encode(), key))
    for answer in (seen, issued, told):
        assert answer.status_code == 200
        assert row not in answer.text
        assert answer.json()["scope"]["rows_withheld"] is True


def test_tls_material_shows_no_key() -> None:
    assert "PRIVATE" not in repr(TLS(chain=b"", key=key_pem(new_key())))
