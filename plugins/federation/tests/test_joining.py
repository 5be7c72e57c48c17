"""Enrolling with a gateway that may be someone else: nothing is kept that was not checked."""

from __future__ import annotations

import asyncio
import json
import math
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from mosaic_embedded_ca.certificates import Root, make_client, make_root, make_server
from mosaic_federation.enrollment import Enrollment
from mosaic_federation.enrollment_url import check_fingerprint, read_url
from mosaic_federation.joining import hear_from, join, look
from mosaic_federation.joins import Join, Joins
from mosaic_federation.keys import key_pem, new_key, signing_request
from mosaic_federation.links import links_of, tell_removed
from mosaic_federation.peers import Peers
from mosaic_hookspecs.errors import Conflict, Forbidden, Gone, Malformed, MosaicError, NotFound, Unavailable
from mosaic_hookspecs.testing.queues import until

TOKEN = "t" * 43
PIN = "a" * 64


@pytest.mark.parametrize(
    "url",
    [
        f"https://work.example/federation/v1/enroll/{TOKEN}#ca={PIN}",
        f"https://work.example:8443/some/prefix/federation/v1/enroll/{TOKEN}#ca={PIN}",
        f"http://127.0.0.1:8080/federation/v1/enroll/{TOKEN}#ca={PIN}\n",
        f"http://[::1]:8080/federation/v1/enroll/{TOKEN}#ca={PIN}",
        f"http://localhost/federation/v1/enroll/{TOKEN}#ca={PIN}",
    ],
)
def test_a_good_url_is_taken_apart_without_showing_its_token(url: str) -> None:
    read = read_url(url)
    assert read.ca_sha256 == PIN
    assert TOKEN in str(read.address)
    assert TOKEN not in repr(read)
    assert "#" not in str(read.address)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "work.example",
        f"https://work.example/federation/v1/enroll/{TOKEN}",
        f"https://work.example/federation/v1/enroll/{TOKEN}#ca={PIN[:-1]}",
        f"https://work.example/federation/v1/enroll/{TOKEN}#CA={PIN}",
        f"https://work.example/federation/v1/enroll/short#ca={PIN}",
        f"https://work.example/v1/tasks/{TOKEN}#ca={PIN}",
        f"https://ada:secret@work.example/federation/v1/enroll/{TOKEN}#ca={PIN}",
        f"http://:secret@127.0.0.1/federation/v1/enroll/{TOKEN}#ca={PIN}",
        f"ftp://work.example/federation/v1/enroll/{TOKEN}#ca={PIN}",
        f"http://work.example/federation/v1/enroll/{TOKEN}#ca={PIN}",
        f"http://192.168.0.1/federation/v1/enroll/{TOKEN}#ca={PIN}",
        f"http://localhost.evil.example/federation/v1/enroll/{TOKEN}#ca={PIN}",
        "https://[::1/federation",
    ],
)
def test_any_other_url_is_refused_without_repeating_its_token(url: str) -> None:
    with pytest.raises(Malformed) as caught:
        read_url(url)
    assert TOKEN not in str(caught.value)


def test_a_host_is_shown_as_it_is_dialled_and_not_as_what_it_looks_like() -> None:
    for host in ("wоrk.example", "xn--a.example"):  # the o is Cyrillic; the other decodes to nothing
        assert read_url(f"https://{host}/federation/v1/enroll/{TOKEN}#ca={PIN}").place.startswith(
            "https://xn--"
        )


@dataclass
class Other:
    """The gateway at the other end: it answers truly, but for what a test changes."""

    world: Any
    port: int = 0
    url: str = ""
    grant_id: str = ""
    change_offer: Callable[[dict[str, Any]], Any] = field(default=lambda offer: offer)
    change_answer: Callable[[dict[str, Any], bytes], Any] = field(default=lambda answer, csr: answer)
    post_as: Callable[[web.Request], Any] | None = None

    async def get(self, request: web.Request) -> web.Response:
        try:
            offer = await Enrollment(self.world.host).offer(request.match_info["token"])
        except MosaicError as error:
            return web.json_response({"detail": error.detail, "remedy": error.remedy}, status=error.status)
        return self._response(self.change_offer(offer))

    async def post(self, request: web.Request) -> web.Response:
        csr = (await request.json())["csr"].encode()
        answer = await Enrollment(self.world.host).redeem(
            request.match_info["token"], csr=csr, name="home", request_id="r"
        )
        return self._response(self.change_answer(answer, csr))

    async def new_offer(self) -> None:
        """Offer another grant."""
        offer = await self.world.offer()
        self.grant_id = str(offer.grant.id)
        self._is_at(offer)

    async def new_url(self) -> None:
        """Offer the grant anew."""
        self._is_at(await self.world.grants.new_url(UUID(self.grant_id), actor="test"))

    def _is_at(self, offer: Any) -> None:
        self.url = offer.url.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{self.port}")

    def _response(self, body: Any) -> web.Response:
        return body if isinstance(body, web.Response) else web.json_response(body)


@pytest.fixture
async def other(world: Any) -> AsyncIterator[Other]:
    made = Other(world)
    app = web.Application()
    path = "/federation/v1/enroll/{token}"

    async def post(request: web.Request) -> web.Response:
        answer: web.Response = await (made.post_as or made.post)(request)
        return answer

    app.add_routes([web.get(path, made.get), web.post(path, post)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    await made.new_offer()
    yield made
    await runner.cleanup()


async def enroll(other: Other, name: str = "work") -> Any:
    url = read_url(other.url)
    offered, _ = await look(other.world.host, url)
    return await join(other.world.host, url, offered, name=name, readers="admins", actor="test")


def another_root() -> Any:
    return make_root("Someone else", 1)


def pem(certificate: Any) -> str:
    return str(certificate.public_bytes(Encoding.PEM).decode())


def issued_by(root: Any, csr: bytes, grant_id: Any, subject_id: Any) -> str:
    key: Any = x509.load_pem_x509_csr(csr).public_key()
    until = datetime.now(UTC) + timedelta(hours=1)
    ids = {"grant_id": grant_id, "subject_id": subject_id, "oid_arc": "1.3.6.1.4.1.99999"}
    return pem(make_client(root, key, **ids, not_after=until))


async def authority_root(world: Any) -> Any:
    return await world.host.authority()._root()


def over_another_peer(root: Any, csr: bytes, grant_id: Any, subject_id: Any) -> str:
    """What a peer of the same gateway can sign, with the key of its own certificate."""
    key = new_key()
    ids = {"grant_id": uuid4(), "subject_id": subject_id, "oid_arc": "1.3.6.1.4.1.99999"}
    until = datetime.now(UTC) + timedelta(hours=1)
    theirs = Root(make_client(root, key.public_key(), **ids, not_after=until), key)
    return issued_by(theirs, csr, grant_id, subject_id) + pem(theirs.certificate)


def altered(certificate: x509.Certificate, old: bytes, new: bytes) -> str:
    der = certificate.public_bytes(Encoding.DER).replace(old, new, 1)
    return ssl.DER_cert_to_PEM_cert(der)


def of_version_2(certificate: x509.Certificate) -> str:
    return altered(certificate, b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01")


def of_no_known_key(root: Root) -> str:
    ecdsa = bytes.fromhex("06072a8648ce3d0201")
    return altered(root.certificate, ecdsa, ecdsa[:-1] + b"\x7f")


def with_names_of_an_odd_kind(root: Root, csr: bytes) -> str:
    """An ediPartyName is one that the library does not read."""
    names = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, bytes.fromhex("3007a505a1030c0178"))
    key: Any = x509.load_pem_x509_csr(csr).public_key()
    now, issuer = datetime.now(UTC), root.certificate.subject
    builder = x509.CertificateBuilder(issuer, issuer, key, 7, now, now + timedelta(hours=1))
    return pem(builder.add_extension(names, critical=False).sign(root.key, hashes.SHA256()))


Change = Callable[[dict[str, Any], bytes], Any]


async def false_answers(world: Any) -> dict[str, Change]:
    grant, ada = (await world.grants.all())[0].id, world.ada
    ours, stranger = await authority_root(world), another_root()
    other_csr = signing_request(new_key())

    def chain(root: Any, grant_id: Any, subject_id: Any, csr: bytes | None = None) -> Change:
        return lambda answer, sent: answer | {"chain": issued_by(root, csr or sent, grant_id, subject_id)}

    return {
        "another authority": lambda a, csr: (
            chain(stranger, grant, ada)(a, csr) | {"ca": pem(stranger.certificate)}
        ),
        "a chain of another authority": chain(stranger, grant, ada),
        "a certificate for another grant": chain(ours, uuid4(), ada),
        "a certificate for another subject": chain(ours, grant, uuid4()),
        "a certificate for another key": chain(ours, grant, ada, other_csr),
        "a certificate without ids": lambda a, _: a | {"chain": pem(ours.certificate)},
        "no certificate": lambda a, _: a | {"chain": ""},
        "a plain link": lambda a, _: a | {"url": "http://127.0.0.1:1"},
        "no JSON": lambda _a, _: web.Response(text="<html>"),
        "another address than offered": lambda a, _: a | {"url": "https://127.0.0.2:8443"},
        "a port that cannot be": lambda a, _: a | {"url": "https://127.0.0.1:99999"},
        "an address with a NUL": lambda a, _: a | {"url": "https://127.0.0.1\x00"},
        "a scope with a NUL": lambda a, _: a | {"scope": {"resources": ["\x00"]}},
        "a scope beyond JSON": lambda a, _: a | {"scope": {"resources": [math.inf]}},
        "a chain over another peer": lambda a, csr: a | {"chain": over_another_peer(ours, csr, grant, ada)},
        "a certificate of an odd version": lambda a, _: a | {"chain": of_version_2(ours.certificate)},
        "an authority of an odd version": lambda a, _: a | {"ca": of_version_2(ours.certificate)},
        "an issuer with an unheard-of key": lambda a, _: a | {"chain": a["chain"] + of_no_known_key(ours)},
        "names of an odd kind": lambda a, csr: a | {"chain": with_names_of_an_odd_kind(ours, csr)},
    }


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("another authority", "another certificate authority"),
        ("a chain of another authority", "does not verify"),
        ("a certificate for another grant", "another grant"),
        ("a certificate for another subject", "another grant"),
        ("a certificate for another key", "another key"),
        ("a certificate without ids", "alternative name"),
        ("no certificate", "does not verify"),
        ("a plain link", "not answer like a gateway"),
        ("no JSON", "not answer like a gateway"),
        ("another address than offered", "another address"),
        ("a port that cannot be", "not answer like a gateway"),
        ("an address with a NUL", "not answer like a gateway"),
        ("a scope with a NUL", "not answer like a gateway"),
        ("a scope beyond JSON", "not answer like a gateway"),
        ("a chain over another peer", "does not verify"),
        ("a certificate of an odd version", "does not verify"),
        ("an authority of an odd version", "not answer like a gateway"),
        ("an issuer with an unheard-of key", "does not verify"),
        ("names of an odd kind", "can be read"),
    ],
)
async def test_a_false_answer_leaves_nothing_behind_and_says_what_to_do(
    other: Other, what: str, says: str
) -> None:
    other.change_answer = (await false_answers(other.world))[what]
    with pytest.raises(MosaicError, match=says) as caught:
        await enroll(other)
    assert f"grant reissue {other.grant_id}" in caught.value.remedy
    assert await Peers(other.world.pool).all() == []
    assert await Joins(other.world.pool).all() == []


async def test_an_offer_of_another_authority_is_refused_before_the_token_is_used(other: Other) -> None:
    other.change_offer = lambda offer: offer | {"ca_sha256": PIN}
    with pytest.raises(Unavailable, match="another certificate authority"):
        await enroll(other)
    other.change_offer = lambda offer: offer
    assert (await other.world.grants.all())[0].status == "pending"


@pytest.mark.parametrize("text", ["\x1b[31mred", "\x9b31mred", "a\nb", "a\u202eb", "x" * 1000, ""])
async def test_an_offer_that_would_disturb_the_terminal_is_refused(other: Other, text: str) -> None:
    other.change_offer = lambda offer: offer | {"gateway": text}
    with pytest.raises(Unavailable, match="not answer like a gateway"):
        await enroll(other)


async def test_a_redirect_is_not_followed(other: Other) -> None:
    other.change_offer = lambda _: web.Response(
        status=302, headers={"Location": "https://elsewhere.example/"}
    )
    with pytest.raises(Unavailable, match="302"):
        await enroll(other)


async def test_an_endless_answer_is_cut(other: Other) -> None:
    other.change_offer = lambda _: web.Response(body=b"[" * 1_000_000)
    with pytest.raises(Unavailable, match="sent more than"):
        await enroll(other)


async def test_a_refusal_is_told_in_the_others_words_made_harmless(other: Other) -> None:
    problem = {"detail": "too \x1b[31mlate", "remedy": "ask again", "errors": [{"where": "x", "detail": "y"}]}
    other.change_offer = lambda _: web.Response(status=410, text=json.dumps(problem))
    with pytest.raises(Gone) as caught:
        await enroll(other)
    assert caught.value.detail.endswith("answers: too [31mlate")
    assert (caught.value.remedy, str(caught.value.faults[0])) == ("ask again", "x: y")


async def test_a_name_that_is_taken_is_refused_before_the_token_is_used(other: Other) -> None:
    with pytest.raises(Unavailable):
        await enroll(other)  # its listener is not there: it stays pending
    await other.new_offer()
    with pytest.raises(Conflict, match="there is a peer 'work' already"):
        await enroll(other)
    assert (await other.world.grants.all())[1].status == "pending"
    assert await Joins(other.world.pool).all() == []


async def test_a_peer_that_was_not_reached_is_kept_pending_and_can_be_removed(other: Other) -> None:
    world = other.world
    with pytest.raises(Unavailable, match="nothing listens") as caught:
        await enroll(other)
    assert "mosaic federation peer test work" in caught.value.remedy
    [peer] = await Peers(world.pool).all()
    assert (peer.state, peer.subject, peer.readers) == ("pending", "ada", "admins")
    raw = await world.pool.fetchrow("SELECT * FROM federation_peers")
    assert all(b"PRIVATE KEY" not in value for value in raw.values() if isinstance(value, bytes))
    await Peers(world.pool).remove("work")
    assert await world.pool.fetchval("SELECT sealed_key IS NULL FROM federation_peers")
    with pytest.raises(NotFound):
        await hear_from(world.host, "work")


async def test_every_process_drops_its_connections_to_a_peer_that_was_removed(other: Other) -> None:
    world = other.world
    with pytest.raises(Unavailable, match="nothing listens"):
        await enroll(other)
    [client] = links_of(world.host)._clients.values()
    await tell_removed(world.host)
    await asyncio.sleep(0.2)
    assert not client.closed, "it is still a peer"
    await Peers(world.pool).remove("work")
    await tell_removed(world.host)
    await until(lambda: client.closed)
    assert not links_of(world.host)._clients


async def test_an_expired_certificate_is_said_to_be_so_before_dialling(other: Other) -> None:
    world = other.world
    with pytest.raises(Unavailable):
        await enroll(other)
    await world.pool.execute("UPDATE federation_peers SET not_after = now()")
    with pytest.raises(Unavailable, match="certificate for peer 'work' has expired"):
        await links_of(world.host).get(await Peers(world.pool).get("work"), "tasks")


async def test_what_listens_there_but_is_no_gateway_is_explained(other: Other) -> None:
    world = other.world
    with pytest.raises(Unavailable):
        await enroll(other)

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await world.pool.execute(f"UPDATE federation_peers SET url = 'https://127.0.0.1:{port}'")
        with pytest.raises(Unavailable, match="does not speak TLS"):
            await hear_from(world.host, "work")


async def test_a_host_that_dns_cannot_hold_is_said_to_be_out_of_reach(other: Other) -> None:
    elsewhere = {"url": f"https://{'x' * 64}.example"}
    other.change_offer = lambda offer: offer | elsewhere
    other.change_answer = lambda answer, _: answer | elsewhere
    with pytest.raises(Unavailable, match="cannot be reached"):
        await enroll(other)


@asynccontextmanager
async def impostor(world: Any, stranger: Any, directory: Path) -> AsyncIterator[None]:
    """Let a listener of the authority ``stranger`` answer in place of peer work."""
    key, until = new_key(), datetime.now(UTC) + timedelta(hours=1)
    leaf = make_server(stranger, key.public_key(), names=["127.0.0.1"], not_after=until)
    (directory / "both.pem").write_bytes(key_pem(key) + pem(leaf).encode())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(directory / "both.pem")
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=tls)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await world.pool.execute(f"UPDATE federation_peers SET url = 'https://127.0.0.1:{port}'")
        yield


async def test_another_authoritys_listener_is_not_believed(other: Other, tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        await enroll(other)
    async with impostor(other.world, another_root(), tmp_path):
        with pytest.raises(Unavailable, match="does not come from the pinned authority"):
            await hear_from(other.world.host, "work")


async def test_an_authority_slipped_in_behind_the_pinned_one_is_not_believed(
    other: Other, tmp_path: Path
) -> None:
    stranger = another_root()
    other.change_answer = lambda answer, _: answer | {"ca": answer["ca"] + pem(stranger.certificate)}
    with pytest.raises(Unavailable, match="nothing listens"):
        await enroll(other)
    async with impostor(other.world, stranger, tmp_path):
        with pytest.raises(Unavailable, match="does not come from the pinned authority"):
            await hear_from(other.world.host, "work")


# Cut short, and enrolling anew


async def test_the_key_is_kept_sealed_before_it_is_sent_to_be_signed(other: Other) -> None:
    seen: list[Any] = []

    async def post(request: web.Request) -> web.Response:
        seen.append(await other.world.pool.fetchrow("SELECT * FROM federation_joins"))
        return await Other.post(other, request)

    other.post_as = post
    with pytest.raises(Unavailable, match="nothing listens"):
        await enroll(other)
    [kept] = seen
    assert b"PRIVATE KEY" not in kept["sealed_key"]
    assert TOKEN not in str(kept)
    [peer] = await Peers(other.world.pool).all()
    assert (peer.id, peer.sealed_key) == (kept["id"], kept["sealed_key"])
    assert await Joins(other.world.pool).all() == []


async def test_an_answer_that_never_came_is_explained_when_the_url_is_tried_again(other: Other) -> None:
    async def cut(request: web.Request) -> web.Response:
        await Other.post(other, request)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    other.post_as = cut
    with pytest.raises(Unavailable, match="closed the connection"):
        await enroll(other)
    [join] = await Joins(other.world.pool).all()
    assert (join.name, join.failed) == ("work", True)
    with pytest.raises(Gone, match="used already") as caught:
        await enroll(other)
    assert "we used it ourselves, as 'work'" in caught.value.remedy
    assert f"grant reissue {other.grant_id}" in caught.value.remedy
    assert (await other.world.grants.all())[0].status == "active"  # to look again trips no wire
    await other.new_url()
    other.post_as = None
    with pytest.raises(Unavailable, match="nothing listens"):
        await enroll(other)
    assert [peer.name for peer in await Peers(other.world.pool).all()] == ["work"]
    assert await Joins(other.world.pool).all() == []


@pytest.mark.parametrize("renewing", [False, True])
async def test_a_peer_that_is_removed_while_it_enrolls_does_not_come_back(
    other: Other, renewing: bool
) -> None:
    if renewing:
        with pytest.raises(Unavailable, match="nothing listens"):
            await enroll(other)
        await other.new_url()

    async def post(request: web.Request) -> web.Response:
        await Peers(other.world.pool).remove("work")
        return await Other.post(other, request)

    other.post_as = post
    with pytest.raises(Conflict, match="removed meanwhile") as caught:
        await enroll(other)
    assert f"grant reissue {other.grant_id}" in caught.value.remedy
    assert await Peers(other.world.pool).all() == []
    assert await other.world.pool.fetchval("SELECT count(sealed_key) FROM federation_peers") == 0


async def test_an_enrollment_under_way_is_not_disturbed_by_another_of_its_name(other: Other) -> None:
    url = read_url(other.url)
    offered, _ = await look(other.world.host, url)
    join_of = Join(uuid4(), "work", "work", "x", uuid4(), b"h" * 32, b"", "test")
    await Joins(other.world.pool).begin(join_of)
    with pytest.raises(Conflict, match="is under way"):
        await join(other.world.host, url, offered, name="work", readers=None, actor="test")
    await other.world.pool.execute("UPDATE federation_joins SET started_at = now() - interval '61 seconds'")
    with pytest.raises(Unavailable, match="nothing listens"):
        await enroll(other)


async def test_a_new_url_of_a_grant_renews_its_peer_in_place(other: Other) -> None:
    world = other.world
    with pytest.raises(Unavailable, match="nothing listens"):
        await enroll(other, "their-work")
    [before] = await Peers(world.pool).all()
    await other.new_url()
    _, renewed = await look(world.host, read_url(other.url))
    assert renewed == before
    with pytest.raises(Unavailable, match="nothing listens"):
        await join(world.host, read_url(other.url), _, name=None, readers=None, actor="test")
    [after] = await Peers(world.pool).all()
    assert (after.name, after.readers, after.grant_id) == ("their-work", "admins", before.grant_id)
    assert after.serial != before.serial
    assert after.serial == (await world.grants.show(after.grant_id)).serial
    query = "SELECT sealed_key, state FROM federation_peers WHERE id = $1"
    assert tuple(await world.pool.fetchrow(query, before.id)) == (None, "removed")


async def test_an_offer_of_the_same_grant_from_elsewhere_renews_nothing(other: Other) -> None:
    with pytest.raises(Unavailable, match="nothing listens"):
        await enroll(other)
    await other.new_url()
    other.change_offer = lambda offer: offer | {"url": "https://127.0.0.2:8443"}
    with pytest.raises(Conflict, match=r"https://127\.0\.0\.2:8443") as caught:
        await enroll(other)
    assert "peer remove work" in caught.value.remedy
    [peer] = await Peers(other.world.pool).all()
    assert peer.url == "https://127.0.0.1:8443"


async def test_a_certificate_under_another_arc_than_offered_is_refused(other: Other) -> None:
    other.change_offer = lambda offer: offer | {"oid_arc": "1.3.6.1.4.1.32473.7"}
    with pytest.raises(MosaicError, match="0 times a grant id"):
        await enroll(other)
    assert await Peers(other.world.pool).all() == []


def test_an_expected_fingerprint_is_compared_however_it_is_written() -> None:
    url = read_url(f"https://work.example/federation/v1/enroll/{TOKEN}#ca={PIN}")
    colons = ":".join(PIN[i : i + 2] for i in range(0, 64, 2)).upper()
    for same in (PIN, colons, f" {PIN}\n"):
        check_fingerprint(url, same)
    with pytest.raises(Forbidden, match="not the expected one"):
        check_fingerprint(url, "b" + PIN[1:])
    for none in ("", PIN[:-1], "sha256:" + PIN):
        with pytest.raises(Malformed):
            check_fingerprint(url, none)
