"""What `peer test` finds on the way to a peer that is not as it should be."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from mosaic_embedded_ca.certificates import make_client, make_root, make_server
from mosaic_federation.checks import checks_of
from mosaic_federation.joins import Join, Joins
from mosaic_federation.keys import key_pem, new_key
from mosaic_federation.links import links_of
from mosaic_federation.peers import Peer, Peers, key_place
from mosaic_federation.settings import DEFAULT_ARC
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.types import Finding

GRANT, SUBJECT = uuid4(), uuid4()
ROOT = make_root("work", 1)
CAPABLE = {"protocol": {"min": 1, "max": 2}, "release": "0.2", "renewal": True}


@dataclass
class Other:
    """The listener of a gateway that shares; a test says what it tells."""

    world: Any
    peer: Peer
    told: dict[str, Any] = field(default_factory=dict)
    capable: dict[str, Any] | None = field(default_factory=lambda: dict(CAPABLE))

    async def whoami(self, _: web.Request) -> web.Response:
        truth = {
            "gateway": "work",
            "grant_id": str(GRANT),
            "subject": {"id": str(SUBJECT), "username": "lead"},
            "scope": {"resources": ["tasks"]},
            "scope_in_words": ["read, list and search tasks"],
            "grant_expires_at": None,
            "release": "0.2",
            "time": datetime.now(UTC).isoformat(),
        }
        return web.json_response(truth | self.told)

    async def capabilities(self, _: web.Request) -> web.Response:
        return web.json_response(self.capable) if self.capable else web.Response(status=404)

    async def tested(self) -> dict[str, Finding]:
        peer = await Peers(self.world.pool).get("work")
        return {check.name: check.finding async for check in checks_of(self.world.host, peer)}


def pem(certificate: Any) -> bytes:
    return bytes(certificate.public_bytes(Encoding.PEM))


async def keep(
    world: Any,
    url: str,
    *,
    until: timedelta = timedelta(days=1),
    chain_of: Callable[[x509.Certificate], bytes] = pem,
) -> Peer:
    """A peer ``work`` at ``url``, enrolled with."""
    peer_id, key, end = uuid4(), new_key(), datetime.now(UTC) + until
    ids = {"grant_id": GRANT, "subject_id": SUBJECT, "oid_arc": DEFAULT_ARC}
    leaf = make_client(ROOT, key.public_key(), **ids, not_after=end)
    sealed = world.host.sealer.seal(key_pem(key), place=key_place(peer_id))
    peer = Peer(
        id=peer_id, name="work", state="pending", gateway="work", url=url, grant_id=GRANT, subject_id=SUBJECT,
        subject="lead", scope={"resources": ["tasks"]}, ca=pem(ROOT.certificate), chain=chain_of(leaf),
        sealed_key=sealed,
        serial="1", not_after=end, oid_arc=DEFAULT_ARC, readers="admins", added_by="test",
        created_at=datetime.now(UTC),
    )  # fmt: skip
    join = Join(peer_id, "work", "work", "x", GRANT, b"t" * 32, sealed, "test")
    await Joins(world.pool).begin(join)
    await Joins(world.pool).become(join, peer, renews=False)
    return peer


@pytest.fixture
async def other(world: Any, tmp_path: Path) -> AsyncIterator[Other]:
    key = new_key()
    until = datetime.now(UTC) + timedelta(days=1)
    leaf = make_server(ROOT, key.public_key(), names=["localhost"], not_after=until)
    (tmp_path / "both.pem").write_bytes(key_pem(key) + pem(leaf))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    app = web.Application()
    runner = web.AppRunner(app)
    made = Other(world, None)  # type: ignore[arg-type]  # once its port is known
    app.router.add_get("/federation/v1/whoami", made.whoami)
    app.router.add_get("/federation/v1/capabilities", made.capabilities)
    await runner.setup()
    await web.TCPSite(runner, "localhost", 0, ssl_context=context).start()
    made.peer = await keep(world, f"https://localhost:{runner.addresses[0][1]}")
    yield made
    await runner.cleanup()


async def test_all_is_green_and_the_peer_becomes_active(other: Other) -> None:
    assert {finding.status for finding in (await other.tested()).values()} == {"green"}
    assert (await Peers(other.world.pool).get("work")).state == "active"


@pytest.mark.parametrize(
    ("capable", "status", "says"),
    [
        (None, "yellow", "release 0.1"),
        ({"protocol": {"min": 1, "max": 3}, "renewal": True, "later": 1}, "green", "protocol 1 to 3"),
        ({"protocol": {"min": 3, "max": 3}}, "red", "upgrade this gateway"),
        ({"protocol": {"min": 2, "max": 1}}, "yellow", "does not tell"),
        ({"protocol": {"min": 1, "max": 2}, "release": "\x1b[2J"}, "yellow", "does not tell"),
    ],
    ids=["none", "newer", "too-new", "upside-down", "hostile"],
)
async def test_what_its_release_can_do(
    other: Other, capable: dict[str, Any] | None, status: str, says: str
) -> None:
    other.capable = capable
    release = (await other.tested())["release"]
    assert (release.status, says in f"{release.detail} {release.remedy}") == (status, True)


@pytest.mark.parametrize(
    ("seconds", "status", "says"),
    [(0, "green", "of ours"), (30, "yellow", "ahead"), (-30, "yellow", "behind"), (300, "red", "ahead")],
)
async def test_the_difference_of_the_clocks_is_measured(
    other: Other, seconds: float, status: str, says: str
) -> None:
    other.told = {"time": (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()}
    clock = (await other.tested())["clock"]
    assert (clock.status, says in clock.detail) == (status, True)
    if seconds:
        assert abs(float(clock.detail.split()[0]) - abs(seconds)) < 5
        assert "NTP" in clock.remedy


async def test_a_changed_scope_is_told_once(other: Other) -> None:
    other.told = {"scope": {"resources": ["notes"]}, "scope_in_words": ["read, list and search notes"]}
    scope = (await other.tested())["scope"]
    assert (scope.status, "resources" in scope.detail, "notes" in scope.detail) == ("yellow", True, True)
    assert (await other.tested())["scope"].status == "green"


async def test_a_grant_that_ends_soon_is_yellow(other: Other) -> None:
    for days, status in ((3, "yellow"), (30, "green")):
        other.told = {"grant_expires_at": (datetime.now(UTC) + timedelta(days=days, minutes=1)).isoformat()}
        assert (await other.tested())["grant"].status == status


async def test_a_peer_that_takes_us_for_another_grant_is_red(other: Other) -> None:
    other.told = {"grant_id": str(uuid4())}
    whoami = (await other.tested())["whoami"]
    assert (whoami.status, "another grant" in whoami.detail) == ("red", True)
    assert (await Peers(other.world.pool).get("work")).state == "pending"


HUGE = {"scope": {"resources": ["x" * 300_000]}}  # kept, it would be read again for each request
NO_ZONE = ({"time": "2030-01-01T00:00:00"}, {"grant_expires_at": "2030-01-01T00:00:00"})


@pytest.mark.parametrize("told", [{"gateway": "\x1b[31m"}, {"scope": None}, {"time": "soon"}, *NO_ZONE, HUGE])
async def test_what_is_no_gateway_is_said_to_be_none(other: Other, told: dict[str, Any]) -> None:
    other.told = told
    assert (await other.tested())["whoami"].status == "red"


@pytest.mark.parametrize("year", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
async def test_an_absurd_time_is_a_difference_of_the_clocks(other: Other, year: str) -> None:
    other.told = {"time": year, "grant_expires_at": year}
    assert (await other.tested())["clock"].status == "red"


async def test_a_listeners_certificate_that_only_openssl_can_read_is_red(world: Any, tmp_path: Path) -> None:
    key, until = new_key(), datetime.now(UTC) + timedelta(days=1)
    leaf = make_server(ROOT, key.public_key(), names=["localhost"], not_after=until)
    (tmp_path / "both.pem").write_bytes(key_pem(key) + of_version_2(leaf))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    server = await asyncio.start_server(lambda _, writer: writer.close(), "localhost", 0, ssl=context)
    async with server:
        peer = await keep(world, f"https://localhost:{server.sockets[0].getsockname()[1]}")
        found = {check.name: check.finding async for check in checks_of(world.host, peer)}
        server.close()
    assert list(found)[-1] == "tls"
    assert (found["tls"].status, "cannot be read" in found["tls"].detail) == ("red", True)


def over_a_small_key(leaf: x509.Certificate) -> bytes:
    """The same below an intermediate whose key OpenSSL finds too small to use."""
    key, name = rsa.generate_private_key(65537, 1024), x509.Name([])
    above = x509.CertificateBuilder(ROOT.certificate.subject, name, key.public_key(), 7)
    above = above.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    below = x509.CertificateBuilder(name, leaf.subject, leaf.public_key(), 8)
    for extension in leaf.extensions:
        below = below.add_extension(extension.value, extension.critical)
    return b"".join(
        pem(
            each.not_valid_before(leaf.not_valid_before_utc)
            .not_valid_after(leaf.not_valid_after_utc)
            .sign(signer, hashes.SHA256())
        )
        for each, signer in ((below, key), (above, ROOT.key))
    )


def of_version_2(leaf: x509.Certificate) -> bytes:
    """The same, signed anew by the same authority."""
    signed = leaf.tbs_certificate_bytes.replace(b"\xa0\3\2\1\2", b"\xa0\3\2\1\1", 1)
    signature = b"\0" + ROOT.key.sign(signed, ec.ECDSA(hashes.SHA256()))
    ecdsa_with_sha256 = bytes.fromhex("300a06082a8648ce3d040302")
    body = signed + ecdsa_with_sha256 + bytes([3, len(signature)]) + signature
    return ssl.DER_cert_to_PEM_cert(b"\x30\x82" + len(body).to_bytes(2) + body).encode()


async def test_an_older_release_is_told_apart_by_what_it_does_not_say(other: Other) -> None:
    other.told = {"time": None, "release": None, "scope_in_words": None}
    found = await other.tested()
    assert (found["clock"].status, found["whoami"].status, found["scope"].status) == (
        "yellow",
        "green",
        "green",
    )


@pytest.mark.parametrize(
    ("url", "last", "says"),
    [
        ("https://no-such-host.invalid:1", "name", "does not resolve"),
        ("https://127.0.0.1:1", "tcp", "nothing listens"),
    ],
)
async def test_the_way_ends_where_it_fails(world: Any, url: str, last: str, says: str) -> None:
    peer = await keep(world, url)
    found = {check.name: check.finding async for check in checks_of(world.host, peer)}
    assert list(found)[-1] == last
    assert (found[last].status, says in found[last].detail) == ("red", True)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:0", "https://.localhost:1", "https://[fe80::1%25lo]:1", "https://[::ffff:127.0.0.1]:1",
        "https://" + "a" * 5000, "https://ａ.invalid",
    ],
)  # fmt: skip
async def test_an_odd_address_is_a_finding_and_an_error_of_ours(world: Any, url: str) -> None:
    peer = await keep(world, url)
    found = [check.finding.status async for check in checks_of(world.host, peer)]
    assert found[-1] == "red"
    with pytest.raises(Unavailable):
        await links_of(world.host).get(peer, "whoami")


async def test_a_chain_that_openssl_does_not_take_is_a_finding(world: Any) -> None:
    peer = await keep(world, "https://127.0.0.1:1", chain_of=over_a_small_key)
    found = {check.name: check.finding async for check in checks_of(world.host, peer)}
    assert list(found)[-1] == "our key"
    assert found["our key"].status == "red"
    with pytest.raises(Unavailable):
        await links_of(world.host).get(peer, "whoami")


async def test_our_own_certificate_is_looked_at_first(world: Any) -> None:
    peer = await keep(world, "https://127.0.0.1:1", until=timedelta(minutes=-1))
    async for check in checks_of(world.host, peer):
        assert (check.name, check.finding.status) == ("our certificate", "red")
        assert f"grant reissue {GRANT}" in check.finding.remedy
        break
