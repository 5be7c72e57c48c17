"""Certificates of peers renewed: over real TLS, with answers lost, processes killed, and an authority that is gone."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from mosaic_federation import gate
from mosaic_federation.certificates import revocation_job
from mosaic_federation.enrollment import Enrollment
from mosaic_federation.expiry import expiry_job
from mosaic_federation.joining import hear_from
from mosaic_federation.joins import Join, Joins
from mosaic_federation.keys import key_pem, new_key, signing_request
from mosaic_federation.listener import peer_mount
from mosaic_federation.peers import Peer, Peers, key_place
from mosaic_federation.probes import certificate_probes
from mosaic_federation.renewals import due_at, is_due, renewal_jobs
from mosaic_federation.renewing import renew
from mosaic_federation.settings import DEFAULT_ARC
from mosaic_gateway.http import listener_app
from mosaic_hookspecs.errors import Conflict, Forbidden, MosaicError, NotFound, Unavailable

Answered = Callable[[web.Response], Awaitable[web.Response]]


async def as_it_is(response: web.Response) -> web.Response:
    return response


@dataclass
class Work:
    """A gateway that shares with itself, over real TLS: what it is asked reaches the listener's application."""

    world: Any
    client: Any
    on_the_way: Answered = as_it_is  # what becomes of the answer to a renewal
    asked: list[tuple[str, str]] = field(default_factory=list)  # path, and serial shown

    async def handle(self, request: web.Request) -> web.Response:
        tls: Any = request.transport.get_extra_info("ssl_object") if request.transport else None
        shown = tls.getpeercert(binary_form=True)
        self.asked.append((request.path.rpartition("/")[2], serial_of(shown)))
        answer = await self.client.open(
            request.path_qs,
            method=request.method,
            data=await request.read(),
            scope_base={"state": {"client_certificate": shown}, "client": ("192.0.2.1", 4000)},
        )
        kept = ("Content-Type", "Retry-After")
        headers = {name: answer.headers[name] for name in kept if name in answer.headers}
        response = web.Response(status=answer.status_code, body=await answer.get_data(), headers=headers)
        return await self.on_the_way(response) if request.path.endswith("/renew") else response

    async def peer(self) -> Peer:
        return await Peers(self.world.pool).get("work")

    async def valid(self) -> set[str]:
        """Serials that are let in, of the one grant."""
        rows = await self.world.pool.fetch(
            "SELECT serial FROM federation_certificates WHERE ended_at IS NULL OR ended_at > now()"
        )
        return {row["serial"] for row in rows}

    async def ask_with(self, peer: Peer) -> tuple[int, str]:
        """What the gate says to the certificate that a peer's record had."""
        der = x509.load_pem_x509_certificates(peer.chain)[0].public_bytes(Encoding.DER)
        scope = {"state": {"client_certificate": der}, "client": ("192.0.2.1", 4000)}
        answer = await self.client.get("/federation/v1/whoami", scope_base=scope)
        return answer.status_code, (await answer.get_json()).get("detail", "")


def serial_of(der: bytes) -> str:
    return f"{x509.load_der_x509_certificate(der).serial_number:x}"


@pytest.fixture
async def work(world: Any, tmp_path: Path) -> AsyncIterator[Work]:
    """Enrolled with, as ``work``."""
    app = web.Application()
    client = listener_app("federation", [peer_mount(world.host)], max_body_bytes=65_536).test_client()
    made = Work(world, client)
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=await server_context(world, tmp_path)).start()
    await enroll(world, f"https://127.0.0.1:{runner.addresses[0][1]}")
    yield made
    await runner.cleanup()


async def server_context(world: Any, directory: Path) -> ssl.SSLContext:
    key = new_key()
    issued = await world.host.authority().issue_server(signing_request(key), names=["127.0.0.1"])
    both = directory / "both.pem"
    both.write_bytes(key_pem(key) + issued.chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    context.load_verify_locations(cadata=(await world.host.authority().root()).decode())
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def enroll(world: Any, url: str) -> None:
    offer, key, peer_id = await world.offer(), new_key(), uuid4()
    token = offer.url.partition("#")[0].rpartition("/")[2]
    answer = await Enrollment(world.host).redeem(token, csr=signing_request(key), name="home", request_id="r")
    leaf = x509.load_pem_x509_certificates(answer["chain"].encode())[0]
    sealed = world.host.sealer.seal(key_pem(key), place=key_place(peer_id))
    peer = Peer(
        id=peer_id, name="work", state="active", gateway="work", url=url, grant_id=offer.grant.id,
        subject_id=world.ada, subject="ada", scope=answer["scope"], ca=answer["ca"].encode(),
        chain=answer["chain"].encode(), sealed_key=sealed, serial=f"{leaf.serial_number:x}",
        not_after=leaf.not_valid_after_utc, oid_arc=DEFAULT_ARC, readers="admins", added_by="test",
        created_at=datetime.now(UTC),
    )  # fmt: skip
    join = Join(peer_id, "work", "work", "x", offer.grant.id, b"t" * 32, sealed, "test")
    await Joins(world.pool).begin(join)
    await Joins(world.pool).become(join, peer, renews=False)


async def test_the_new_certificate_takes_the_place_of_the_old_one_when_it_is_first_used(work: Work) -> None:
    old = await work.peer()
    new = await renew(work.world.host, old)
    assert (new.serial != old.serial, new.renewed_at is not None) == (True, True)
    assert await work.valid() == {old.serial, new.serial}
    assert (await work.ask_with(old))[0] == 200
    assert (await work.world.grants.show(old.grant_id)).serial == old.serial, "not used yet"
    await hear_from(work.world.host, "work")
    assert work.asked[-2:] == [("whoami", new.serial), ("capabilities", new.serial)]
    grant = await work.world.grants.show(old.grant_id)
    assert (grant.serial, grant.not_after) == (new.serial, new.not_after)
    assert ("renew", "", "ok") in await work.world.audit()


async def test_the_old_one_is_let_in_for_what_is_under_way_then_refused_and_revoked(work: Work) -> None:
    old = await work.peer()
    await renew(work.world.host, old)
    await hear_from(work.world.host, "work")
    assert (await work.ask_with(old))[0] == 200
    await revocation_job(work.world.host).run({})
    revoked = "SELECT serial FROM embedded_ca_certificates WHERE revoked_at IS NOT NULL"
    assert await work.world.pool.fetch(revoked) == [], "not before it has ended"
    ends = await work.world.pool.fetchval(
        "SELECT ended_at - now() FROM federation_certificates WHERE serial = $1", old.serial
    )
    assert timedelta() < ends <= timedelta(seconds=gate._OVERLAP)
    await time_passes(work, old.serial)
    async with asyncio.timeout(10):
        while (refused := await work.ask_with(old))[0] == 200:  # noqa: ASYNC110 - news of it are on their way
            await asyncio.sleep(0.01)
    assert refused == (403, "a newer certificate has taken the place of this one")
    assert (await work.ask_with(await work.peer()))[0] == 200
    await revocation_job(work.world.host).run({})
    assert [row["serial"] for row in await work.world.pool.fetch(revoked)] == [old.serial]


async def time_passes(work: Work, serial: str) -> None:
    await work.world.pool.execute(
        "UPDATE federation_certificates SET ended_at = now() WHERE serial = $1", serial
    )


@pytest.mark.parametrize("first_use", [False, True], ids=["unused", "used"])
async def test_revoking_the_grant_ends_both_at_once(work: Work, first_use: bool) -> None:
    old = await work.peer()
    new = await renew(work.world.host, old)
    if first_use:
        await hear_from(work.world.host, "work")
    await work.world.grants.revoke(old.grant_id, actor="test")
    assert await work.valid() == set()
    for peer in (old, new):
        assert await work.ask_with(peer) == (403, "the grant was revoked")


async def test_an_answer_that_is_lost_is_given_again_for_the_same_key(work: Work) -> None:
    async def lost(_: web.Response) -> web.Response:
        raise ConnectionResetError

    old, work.on_the_way = await work.peer(), lost
    for _ in range(2):
        with pytest.raises(MosaicError):
            await renew(work.world.host, old)
    assert len(await work.valid()) == 2
    failed = await work.peer()
    assert (failed.serial, failed.renewal_failures) == (old.serial, 2)
    assert (await work.ask_with(old))[0] == 200
    work.on_the_way = as_it_is
    new = await renew(work.world.host, failed)
    assert await work.valid() == {old.serial, new.serial}
    assert (new.renewal_failures, new.renewal_failure) == (0, None)


async def test_who_is_killed_before_the_answer_is_kept_goes_on(work: Work) -> None:
    """As a kill leaves it: the other side has issued, and here is the key that was sent, and nothing else."""
    old = await work.peer()
    answered, for_ever = asyncio.Event(), asyncio.Event()

    async def held_up(response: web.Response) -> web.Response:
        answered.set()
        await for_ever.wait()
        return response

    work.on_the_way = held_up
    killed = asyncio.create_task(renew(work.world.host, old))
    await answered.wait()
    killed.cancel()
    await asyncio.gather(killed, return_exceptions=True)
    for_ever.set()
    left = await work.peer()
    assert (left.serial, left.renewal_failure) == (old.serial, None)
    work.on_the_way = as_it_is
    new = await renew(work.world.host, left)
    assert await work.valid() == {old.serial, new.serial}
    await hear_from(work.world.host, "work")


async def test_the_key_is_kept_sealed_before_it_is_sent_and_gone_afterwards(work: Work) -> None:
    sealed: list[bytes] = []
    query = "SELECT sealed_next_key FROM federation_peers"

    async def look(response: web.Response) -> web.Response:
        sealed.append(await work.world.pool.fetchval(query))
        return response

    work.on_the_way = look
    await renew(work.world.host, await work.peer())
    assert sealed[0]
    assert b"PRIVATE" not in sealed[0]
    assert await work.world.pool.fetchval(query) is None


async def test_two_who_renew_at_once_end_with_one_certificate_that_works(work: Work) -> None:
    old = await work.peer()
    one, other = await asyncio.gather(renew(work.world.host, old), renew(work.world.host, old))
    assert one.serial == other.serial != old.serial
    assert await work.valid() == {old.serial, one.serial}
    await hear_from(work.world.host, "work")
    late = await renew(work.world.host, old)
    assert late.serial == one.serial, "who comes late finds it done"


async def test_the_wire_of_the_spent_url_goes_along(work: Work) -> None:
    """A second use of the URL that enrolled the grant is a theft also after its certificate was renewed."""
    query = "SELECT serial FROM federation_enrollment_tokens"
    await renew(work.world.host, await work.peer())
    await hear_from(work.world.host, "work")
    assert await work.world.pool.fetchval(query) == (await work.peer()).serial


async def test_a_revoked_grant_is_not_renewed_and_says_so(work: Work) -> None:
    peer = await work.peer()
    await work.world.grants.revoke(peer.grant_id, actor="test")
    with pytest.raises(Forbidden, match="the grant was revoked"):
        await renew(work.world.host, peer)
    refused = await work.peer()
    assert (refused.standing, refused.refusal) == ("refused", "peer 'work' answers: the grant was revoked")
    assert not is_due(refused, refused.not_after - timedelta(minutes=1))
    assert await finding(work) == ("red", True)


async def finding(work: Work) -> tuple[str, bool]:
    [probe] = [each for each in certificate_probes(work.world.host) if each.name == "federation peers"]
    found = await probe.check()
    return found.status, "work" in found.detail


async def test_while_the_authority_is_gone_the_old_certificate_goes_on(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: Any, **__: Any) -> Any:
        raise Unavailable("the certificate authority is gone")

    told: list[str | None] = []

    async def look(response: web.Response) -> web.Response:
        told.append(response.headers.get("Retry-After"))
        return response

    old, work.on_the_way = await work.peer(), look
    with monkeypatch.context() as patch:
        patch.setattr(type(work.world.host.authority()), "issue_client", gone)
        with pytest.raises(Unavailable, match="the certificate authority is gone"):
            await renew(work.world.host, old)
    assert [text and text.isdecimal() for text in told] == [True]
    failed = await work.peer()
    assert (failed.serial, failed.refusal, failed.renewal_failures) == (old.serial, None, 1)
    assert await finding(work) == ("yellow", True)
    assert not is_due(failed, datetime.now(UTC))
    assert (await work.ask_with(failed))[0] == 200
    assert (await renew(work.world.host, failed)).serial != old.serial
    assert (await finding(work))[0] == "green"


async def test_attempts_are_at_most_ten_minutes_apart(work: Work) -> None:
    await work.world.pool.execute("UPDATE federation_peers SET renewal_failures = 1000000")
    await work.world.grants.revoke((await work.peer()).grant_id, actor="test")
    with pytest.raises(Forbidden):
        await renew(work.world.host, await work.peer())
    wait = (await work.peer()).renewal_retry_at
    assert wait is not None
    assert timedelta(minutes=7) < wait - datetime.now(UTC) <= timedelta(minutes=10)


async def ask_to_renew(work: Work, peer: Peer, body: bytes) -> tuple[int, Any]:
    der = x509.load_pem_x509_certificates(peer.chain)[0].public_bytes(Encoding.DER)
    scope = {"state": {"client_certificate": der}, "client": ("192.0.2.1", 4000)}
    answer = await work.client.post("/federation/v1/renew", data=body, scope_base=scope)
    return answer.status_code, await answer.get_json()


def csr(key: Any = None) -> bytes:
    return json.dumps({"csr": signing_request(key or new_key()).decode()}).encode()


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"[]", 400), (b'{"csr": 1}', 400), (b'{"csr": "x"}', 422), (b"{" * 9000, 400)],
    ids=["empty", "list", "number", "no-pem", "long"],
)
async def test_what_is_no_request_renews_nothing(work: Work, body: bytes, status: int) -> None:
    peer = await work.peer()
    assert (await ask_to_renew(work, peer, body))[0] == status
    assert await work.valid() == {peer.serial}


async def test_a_key_is_renewed_with_once_and_by_its_owner_alone(work: Work) -> None:
    mine, key = await work.peer(), new_key()
    assert (await ask_to_renew(work, mine, csr(key)))[0] == 200
    _, other = await work.world.enrolled()
    scope = {"state": {"client_certificate": other}, "client": ("192.0.2.1", 4000)}
    stolen = await work.client.post("/federation/v1/renew", data=csr(key), scope_base=scope)
    assert stolen.status_code == 409
    old_key = work.world.host.sealer.open(mine.sealed_key, place=mine.key_place)
    assert (await ask_to_renew(work, mine, csr(load_pem_private_key(old_key, None))))[0] == 409
    another = await ask_to_renew(work, mine, csr())
    assert another[0] == 200
    assert len(await work.valid() - {serial_of(other)}) == 2, "the one that was never used has ended"
    assert (await ask_to_renew(work, mine, csr(key)))[0] == 409


async def test_only_the_certificate_in_use_renews(work: Work) -> None:
    old = await work.peer()
    await renew(work.world.host, old)
    await hear_from(work.world.host, "work")
    status, problem = await ask_to_renew(work, old, csr())
    assert (status, "newer certificate" in problem["detail"]) == (403, True)
    query = "SELECT count(*) FROM embedded_ca_certificates WHERE grant_id IS NOT NULL AND revoked_at IS NULL"
    assert await work.world.pool.fetchval(query) == 2, "what was signed for nobody is revoked"


async def test_renewals_cost_the_authority_a_bounded_number_of_signatures(work: Work) -> None:
    peer = await work.peer()
    answers = [(await ask_to_renew(work, peer, csr()))[0] for _ in range(11)]
    assert answers == [200] * 10 + [429]


async def test_it_never_lasts_longer_than_the_grant(work: Work) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    peer = await work.peer()
    await work.world.grants.update(peer.grant_id, {"expires_at": end.isoformat()}, actor="test")
    new = await renew(work.world.host, peer)
    assert new.not_after == end
    told = await hear_from(work.world.host, "work")
    assert due_at(told) is None, "another one would end with it"


async def test_the_time_is_between_half_and_two_thirds_of_its_life_and_not_the_same_for_all(
    work: Work,
) -> None:
    peer = await work.peer()
    start = x509.load_pem_x509_certificates(peer.chain)[0].not_valid_before_utc
    life = peer.not_after - start
    shares = []
    for serial in range(1024):
        due = due_at(of_serial(peer, f"{serial:x}"))
        assert due is not None
        shares.append((due - start) / life)
    assert (min(shares) > 0.5, max(shares) < 2 / 3) == (True, True)
    assert max(shares) / min(shares) > 1.2
    assert not is_due(peer, start + life / 2)
    assert is_due(peer, start + life * 2 / 3)
    assert not is_due(peer, peer.not_after)


def of_serial(peer: Peer, serial: str) -> Peer:
    return replace(peer, serial=serial)


async def test_the_jobs_renew_what_is_due_and_ask_each_release_once_an_hour(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    every_minute, one = renewal_jobs(work.world.host)
    queue = KeptQueue()
    monkeypatch.setattr(type(work.world.host), "queue", lambda _: queue)
    old = await work.peer()

    async def minute() -> None:
        await every_minute.run({})
        for job, data in queue.taken():
            assert job.name == one.name
            await job.run(data)

    await minute()
    told = await work.peer()
    assert told.capabilities is not None
    assert (told.capabilities["renewal"], told.serial) == (True, old.serial)
    work.asked.clear()
    await minute()
    assert work.asked == []
    ages = "UPDATE federation_peers SET capabilities_at = now() - interval '2 hours'"
    await work.world.pool.execute(ages)
    await minute()
    assert [path for path, _ in work.asked] == ["whoami", "capabilities"]
    monkeypatch.setattr("mosaic_federation.renewals._SHARE", 0.0)
    await every_minute.run({})
    await every_minute.run({})
    taken = queue.taken()
    await asyncio.gather(*(job.run(data) for job, data in taken))
    assert [path for path, _ in work.asked].count("renew") == 1
    assert (await work.world.grants.show(old.grant_id)).serial == (await work.peer()).serial != old.serial


class KeptQueue:
    """What was put into it."""

    def __init__(self) -> None:
        self._jobs: list[tuple[Any, Any]] = []

    async def enqueue(self, job: Any, data: Any = None, **_: Any) -> str:
        self._jobs.append((job, data))
        return "1"

    def taken(self) -> list[tuple[Any, Any]]:
        jobs, self._jobs = self._jobs, []
        return jobs


@pytest.mark.parametrize("answer", [b"{}", b'{"chain": ""}', b"x"], ids=["nothing", "empty", "no-json"])
async def test_an_answer_that_is_none_changes_nothing(work: Work, answer: bytes) -> None:
    async def other(_: web.Response) -> web.Response:
        return web.Response(body=answer)

    old, work.on_the_way = await work.peer(), other
    with pytest.raises(Unavailable):
        await renew(work.world.host, old)
    assert (await work.peer()).serial == old.serial


async def test_a_certificate_for_another_key_or_grant_is_not_kept(work: Work) -> None:
    authority = work.world.host.authority()
    old = await work.peer()
    for grant, key, why in ((uuid4(), None, "another grant"), (None, new_key(), "another key")):

        async def forged(_: web.Response, grant: Any = grant, key: Any = key) -> web.Response:
            ids = {"grant_id": grant or old.grant_id, "subject_id": old.subject_id, "oid_arc": DEFAULT_ARC}
            ends = datetime.now(UTC) + timedelta(days=1)
            issued = await authority.issue_client(signing_request(key or new_key()), **ids, not_after=ends)
            return web.json_response({"chain": issued.chain.decode()})

        work.on_the_way = forged
        with pytest.raises(Unavailable, match=why):
            await renew(work.world.host, old)
        assert (await work.peer()).serial == old.serial


async def test_a_peer_of_before_renewals_says_what_to_do(work: Work) -> None:
    async def unknown(_: web.Response) -> web.Response:
        return web.json_response({"detail": "peers can ask for nothing here"}, status=404)

    work.on_the_way = unknown
    with pytest.raises(NotFound) as refused:
        await renew(work.world.host, await work.peer())
    assert "grant reissue" in refused.value.remedy


async def test_a_key_that_was_used_before_gives_way_to_a_new_one(work: Work) -> None:
    async def conflict(_: web.Response) -> web.Response:
        return web.json_response({"detail": "this key has a certificate already"}, status=409)

    work.on_the_way = conflict
    with pytest.raises(Conflict):
        await renew(work.world.host, await work.peer())
    assert await work.world.pool.fetchval("SELECT sealed_next_key FROM federation_peers") is None
    work.on_the_way = as_it_is
    await renew(work.world.host, await work.peer())


async def test_certificates_long_over_are_forgotten(work: Work) -> None:
    old = await work.peer()
    await renew(work.world.host, old)
    await hear_from(work.world.host, "work")
    await time_passes(work, old.serial)
    count = "SELECT count(*) FROM federation_certificates"
    await expiry_job(work.world.host).run({})
    assert await work.world.pool.fetchval(count) == 2
    await work.world.pool.execute("UPDATE federation_certificates SET not_after = now() - interval '8 days'")
    await expiry_job(work.world.host).run({})
    assert await work.world.pool.fetchval(count) == 1, "the one in use stays"
