"""The doctor says in time which certificates end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from mosaic_federation import probes
from mosaic_federation.joins import Join, Joins
from mosaic_federation.peers import FAILURES, Peer, Peers
from mosaic_federation.probes import certificate_probes
from mosaic_federation.server_identity import listener_tls
from mosaic_federation.settings import PeerLimits, Settings
from mosaic_hookspecs.types import Finding, QueueTarget
from mosaic_valkey.limiter import ValkeyLimiter
from mosaic_valkey.settings import Settings as ValkeySettings

if TYPE_CHECKING:
    from conftest import World


async def findings(world: World) -> dict[str, Finding]:
    return {probe.name: await probe.check() for probe in certificate_probes(world.host)}


def chain(start: datetime, end: datetime) -> bytes:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, end)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


async def add_peer(world: World, name: str, *, age: float, life: float = 24) -> None:
    """With a certificate of so many hours."""
    start = datetime.now(UTC) - timedelta(hours=age)
    end = start + timedelta(hours=life)
    fields: dict[str, Any] = {
        "id": uuid4(), "name": name, "state": "pending", "gateway": name, "url": "https://x", "grant_id": uuid4(),
        "subject_id": uuid4(), "subject": "ada", "scope": {}, "ca": b"", "chain": chain(start, end),
        "sealed_key": b"", "serial": "1", "not_after": end, "oid_arc": "1.3.6.1.4.1.99999", "readers": "admins",
        "added_by": "test",
        "created_at": start,
    }  # fmt: skip
    peer = Peer(**fields)
    join = Join(peer.id, name, name, "https://x", peer.grant_id, b"t" * 32, b"", "test")
    await Joins(world.pool).begin(join)
    await Joins(world.pool).become(join, peer, renews=False)


async def test_the_listener_before_and_after_its_first_start(world: World) -> None:
    assert (await findings(world))["federation listener"].status == "green"
    await listener_tls(world.host)
    assert "89 days" in (await findings(world))["federation listener"].detail


@pytest.mark.parametrize(("left", "status"), [(31, "green"), (29, "yellow"), (-1, "red")])
async def test_the_listeners_certificate_nears_its_end(world: World, left: int, status: str) -> None:
    await listener_tls(world.host)
    end = datetime.now(UTC) + timedelta(days=left)
    aged = chain(end - timedelta(days=90), end)
    await world.pool.execute("UPDATE federation_server_identity SET chain = $1, not_after = $2", aged, end)
    finding = (await findings(world))["federation listener"]
    assert finding.status == status
    assert bool(finding.remedy) == (status != "green")


async def test_peers_are_named_when_a_third_of_the_life_is_left(world: World) -> None:
    await add_peer(world, "fresh", age=1)
    assert (await findings(world))["federation peers"].status == "green"
    await add_peer(world, "ending", age=17)
    finding = (await findings(world))["federation peers"]
    assert (finding.status, "ending: our certificate ends soon (7.0 hours more)" in finding.detail) == (
        "yellow",
        True,
    )
    await add_peer(world, "gone", age=25)
    finding = (await findings(world))["federation peers"]
    assert (finding.status, "gone" in finding.detail, "fresh" in finding.detail) == ("red", True, False)
    for name in ("ending", "gone"):
        await Peers(world.pool).remove(name)
    assert (await findings(world))["federation peers"].status == "green"


async def test_a_peer_that_refuses_us_is_red_until_it_answers(world: World) -> None:
    await add_peer(world, "work", age=1)
    [peer] = await Peers(world.pool).all()
    await Peers(world.pool).refused(peer, "the grant is quarantined")
    finding = (await findings(world))["federation peers"]
    assert (finding.status, "work: the grant is quarantined" in finding.detail) == ("red", True)
    await Peers(world.pool).answers(peer)
    assert (await findings(world))["federation peers"].status == "green"


async def test_each_trouble_with_a_peer_has_its_own_remedy(world: World) -> None:
    for name in ("asleep", "caught", "ended"):
        await add_peer(world, name, age=1)
    peers = {peer.name: peer for peer in await Peers(world.pool).all()}

    async def remedy() -> str:
        return (await findings(world))["federation peers"].remedy

    for _ in range(FAILURES):
        await Peers(world.pool).failed(await Peers(world.pool).get("asleep"), "nobody answers")
    assert "asleep is up" in await remedy()
    assert "mosaic federation peer test asleep" in await remedy()
    assert "new URL" not in await remedy()
    await Peers(world.pool).refused(peers["caught"], "the grant is quarantined: its URL was used twice")
    assert "admin of caught look into it and release" in await remedy()
    assert "new URL" not in await remedy()
    await Peers(world.pool).refused(peers["ended"], "the grant was revoked")
    assert "admin of ended for a new URL" in await remedy()


async def test_a_quarantined_grant_is_red_and_names_the_remedy(world: World) -> None:
    grant_id, _ = await world.enrolled()
    assert (await findings(world))["federation grants"].status == "green"
    await world.pool.execute("UPDATE federation_grants SET status = 'quarantined' WHERE id = $1", grant_id)
    finding = (await findings(world))["federation grants"]
    assert (finding.status, str(grant_id) in finding.detail) == ("red", True)
    assert "mosaic federation grant release" in finding.remedy
    assert "mosaic federation grant revoke" in finding.remedy
    await world.grants.release(grant_id, actor="test")
    assert (await findings(world))["federation grants"].status == "green"


async def test_an_enrollment_that_was_cut_short_is_worth_a_word(world: World) -> None:
    join = Join(uuid4(), "work", "work", "https://x", uuid4(), b"t" * 32, b"", "test")
    await Joins(world.pool).begin(join)
    assert (await findings(world))["federation peers"].status == "green"
    await Joins(world.pool).failed(join)
    finding = (await findings(world))["federation peers"]
    assert (finding.status, "cut short" in finding.detail) == ("yellow", True)


@pytest.mark.parametrize(("when", "status"), [("deny", "red"), ("local", "yellow")])
async def test_a_limiter_that_is_gone_is_seen_with_what_becomes_of_peers(
    world: World, when: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await findings(world))["peer limits"].status == "green"
    target = QueueTarget("bullmq", "redis://127.0.0.1:1/0")
    settings = SimpleNamespace(settings=lambda _: ValkeySettings(), queue_target=target, gateway_name="work")
    world.gateway.limiter = ValkeyLimiter(settings)  # type: ignore[arg-type]
    world.gateway.settings["federation"] = Settings(
        limits=PeerLimits.model_validate({"when_unavailable": when})
    )
    monkeypatch.setattr(probes, "is_up", lambda _: False)  # as the doctor finds it: not open
    found = (await findings(world))["peer limits"]
    assert (found.status, "127.0.0.1:1" in found.detail) == (status, True)
    assert found.remedy
