"""Enrollment on the side that shares: looked at freely, redeemed once, and never half."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from mosaic_federation.certificates import revocation_job
from mosaic_federation.enrollment import Enrollment
from mosaic_federation.keys import new_key, signing_request
from mosaic_federation.oids import read_claims
from mosaic_federation.routes import enrollment_routes
from mosaic_federation.settings import DEFAULT_ARC
from mosaic_gateway.http import listener_app
from mosaic_hookspecs.errors import Conflict, Gone, Invalid, NotFound, Unavailable
from mosaic_hookspecs.testing.queues import until
from mosaic_hookspecs.types import Mount


def token_of(offer: Any) -> str:
    return str(offer.url.partition("#")[0].rpartition("/")[2])


async def redeem(enrollment: Enrollment, token: str, csr: bytes | None = None) -> dict[str, Any]:
    return await enrollment.redeem(token, csr=csr or signing_request(new_key()), name="home", request_id="r1")


async def spent(world: Any) -> int:
    query = "SELECT count(*) FROM federation_enrollment_tokens WHERE consumed_at IS NOT NULL"
    return int(await world.pool.fetchval(query))


async def test_redeeming_activates_the_grant_for_one_certificate(world: Any) -> None:
    offer = await world.offer()
    answer = await redeem(Enrollment(world.host), token_of(offer))
    [leaf] = x509.load_pem_x509_certificates(answer["chain"].encode())
    grant = await world.grants.show(offer.grant.id)
    assert (grant.status, grant.serial, grant.peer_gateway) == ("active", f"{leaf.serial_number:x}", "home")
    assert answer["url"] == "https://127.0.0.1:8443"
    assert answer["grant_id"] == str(grant.id)
    assert answer["subject"] == {"id": str(world.ada), "username": "ada"}
    assert await world.audit() == [("enroll", "", "ok")]


async def test_looking_consumes_nothing_and_tells_what_is_offered(world: Any) -> None:
    offer = await world.offer(max_rows=9)
    enrollment = Enrollment(world.host)
    for _ in range(5):
        seen = await enrollment.offer(token_of(offer))
    assert seen["scope"]["max_rows_per_query"] == 9
    assert seen["resources"] == ["tasks", "notes"]
    assert seen["ca_sha256"] == offer.url.rpartition("=")[2]
    await redeem(enrollment, token_of(offer))


async def test_a_thousand_at_once_in_four_processes_give_exactly_one_certificate(world: Any) -> None:
    offer = await world.offer()
    processes = [Enrollment(world.host) for _ in range(4)]
    csr = signing_request(new_key())
    async with asyncio.timeout(60):
        outcomes = await asyncio.gather(
            *(redeem(processes[i % 4], token_of(offer), csr) for i in range(1000)), return_exceptions=True
        )
    assert sum(isinstance(outcome, dict) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Gone) for outcome in outcomes) == 999
    assert await world.pool.fetchval("SELECT count(*) FROM embedded_ca_certificates") == 1
    assert (await world.grants.show(offer.grant.id)).status == "quarantined"


async def test_a_replay_is_gone_and_quarantines_the_grant_and_is_on_record(world: Any) -> None:
    offer = await world.offer()
    await redeem(Enrollment(world.host), token_of(offer))
    for _ in range(2):
        with pytest.raises(Gone, match="used already"):
            await redeem(Enrollment(world.host), token_of(offer))
    assert await world.audit() == [
        ("enroll", "", "ok"),
        ("enroll", "", "quarantined"),
        ("enroll", "", "gone"),
    ]
    grant = await world.grants.show(offer.grant.id)
    assert (grant.status, grant.version) == ("quarantined", 3)
    [*_, last] = await world.grants.history(grant.id)
    assert (last.change, last.actor, last.reason) == (
        "quarantined",
        "gateway",
        "its enrollment URL was used a second time",
    )


async def test_a_look_at_a_spent_url_quarantines_nothing(world: Any) -> None:
    offer = await world.offer()
    await redeem(Enrollment(world.host), token_of(offer))
    with pytest.raises(Gone, match="used already"):
        await Enrollment(world.host).offer(token_of(offer))
    assert (await world.grants.show(offer.grant.id)).status == "active"


async def test_looks_and_guesses_are_on_record_but_do_not_fill_the_disk(world: Any) -> None:
    token, enrollment = token_of(await world.offer()), Enrollment(world.host)
    for _ in range(30):
        await enrollment.offer(token)
    for number in range(80):
        with pytest.raises(NotFound):
            await enrollment.offer(f"{number:043}")
    counted = Counter(await world.audit())
    assert counted == {("offer", "", "ok"): 20, ("offer", "", "not-found"): 60}


async def test_a_lapsed_or_revoked_offer_is_gone(world: Any) -> None:
    lapsed, revoked = await world.offer(), await world.offer()
    await world.pool.execute(
        "UPDATE federation_enrollment_tokens SET expires_at = now() WHERE grant_id = $1", lapsed.grant.id
    )
    await world.grants.revoke(revoked.grant.id, actor="root")
    for offer, why in ((lapsed, "expired"), (revoked, "revoked")):
        with pytest.raises(Gone, match=why):
            await redeem(Enrollment(world.host), token_of(offer))
    assert await spent(world) == 0


async def test_an_offer_whose_subject_is_gone_is_gone_and_its_redemption_on_record(world: Any) -> None:
    token = token_of(await world.offer())
    await world.host.identity.disable_user("ada")
    for attempt in (redeem(Enrollment(world.host), token), Enrollment(world.host).offer(token)):
        with pytest.raises(Gone, match="subject") as caught:
            await attempt
        assert str(world.ada) not in str(caught.value)
    assert await world.audit() == [("enroll", "", "gone"), ("offer", "", "gone")]
    assert await world.pool.fetchval("SELECT count(*) FROM embedded_ca_certificates") == 0


async def test_a_guessed_token_is_not_found(world: Any) -> None:
    await world.offer()
    for token in ("x" * 43, "", "\0", "ü" * 43):
        with pytest.raises(NotFound):
            await redeem(Enrollment(world.host), token)


async def test_a_bad_request_leaves_the_token_for_a_good_one(world: Any) -> None:
    token = token_of(await world.offer())
    with pytest.raises(Invalid):
        await redeem(Enrollment(world.host), token, b"nonsense")
    assert await spent(world) == 0
    await redeem(Enrollment(world.host), token)


async def test_an_authority_that_is_down_leaves_the_token_unspent(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer = await world.offer()

    async def down(*_: object, **__: object) -> None:
        raise Unavailable("the authority is down")

    with monkeypatch.context() as patch:
        patch.setattr(world.host.authority(), "issue_client", down)
        with pytest.raises(Unavailable):
            await redeem(Enrollment(world.host), token_of(offer))
    assert await spent(world) == 0
    assert (await world.grants.show(offer.grant.id)).status == "pending"
    await redeem(Enrollment(world.host), token_of(offer))


async def test_an_authority_that_hangs_holds_no_connection_and_leaves_the_token_unspent(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    offers = [await world.offer() for _ in range(20)]

    asked = 0

    async def hang(*_: object, **__: object) -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(60)

    with monkeypatch.context() as patch:
        patch.setattr(world.host.authority(), "issue_client", hang)
        patch.setattr("mosaic_federation.issuing._PATIENCE", 2.0)
        redeeming = [asyncio.create_task(redeem(Enrollment(world.host), token_of(o))) for o in offers]
        await until(lambda: asked == len(offers))
        assert await world.pool.fetchval("SELECT 1") == 1
        assert sum(not task.done() for task in redeeming) > 10, "as many as there are connections wait on"
        outcomes = await asyncio.gather(*redeeming, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {Unavailable}
    assert await spent(world) == 0
    await redeem(Enrollment(world.host), token_of(offers[0]))


async def test_a_redemption_that_was_cancelled_leaves_the_token_unspent(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = token_of(await world.offer())

    asked = asyncio.Event()

    async def hang(*_: object, **__: object) -> None:
        asked.set()
        await asyncio.sleep(60)

    with monkeypatch.context() as patch:
        patch.setattr(world.host.authority(), "issue_client", hang)
        task = asyncio.create_task(redeem(Enrollment(world.host), token))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with asyncio.timeout(15):  # a claim that was left would last 20
        await redeem(Enrollment(world.host), token)


async def test_the_claim_of_a_process_that_died_lapses(world: Any) -> None:
    token = token_of(await world.offer())
    started = asyncio.get_running_loop().time()
    await world.pool.execute(
        "UPDATE federation_enrollment_tokens "
        "SET claim = gen_random_uuid(), claimed_until = now() + interval '1 second'"
    )
    await redeem(Enrollment(world.host), token)
    assert asyncio.get_running_loop().time() - started > 0.8


async def test_who_waits_for_another_process_asks_the_database_less_and_less_often(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mosaic_federation.enrollment._CLAIM", 2.0)
    token, looks, fetchrow = token_of(await world.offer()), 0, world.pool.fetchrow
    await world.pool.execute(
        "UPDATE federation_enrollment_tokens "
        "SET claim = gen_random_uuid(), claimed_until = now() + interval '1 hour'"
    )

    async def counted(query: str, *args: Any) -> Any:
        nonlocal looks
        looks += "SET claim" in query
        return await fetchrow(query, *args)

    monkeypatch.setattr(world.pool, "fetchrow", counted)
    with pytest.raises(Unavailable, match="by somebody else"):
        await redeem(Enrollment(world.host), token)
    assert 2 <= looks <= 6  # each tenth of a second would be 20
    assert await spent(world) == 0


async def test_an_authority_that_signs_other_ids_than_asked_spends_nothing(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer, authority = await world.offer(), world.host.authority()
    sign = authority.issue_client

    async def elsewhere(csr: bytes, **ids: Any) -> Any:
        return await sign(csr, **(ids | {"oid_arc": "1.3.6.1.4.1.32473"}))

    with monkeypatch.context() as patch:
        patch.setattr(authority, "issue_client", elsewhere)
        with pytest.raises(Unavailable, match="not set up for this gateway"):
            await redeem(Enrollment(world.host), token_of(offer))
    assert await spent(world) == 0
    await redeem(Enrollment(world.host), token_of(offer))


async def test_without_an_audit_row_no_certificate_leaves_and_the_token_stays(world: Any) -> None:
    offer = await world.offer()
    await world.pool.execute("ALTER TABLE federation_audit_log RENAME TO elsewhere")
    with pytest.raises(Unavailable, match="audit"):
        await redeem(Enrollment(world.host), token_of(offer))
    assert (await world.grants.show(offer.grant.id)).status == "pending"
    assert await spent(world) == 0


async def test_a_spoofing_request_yields_the_grants_own_ids(world: Any) -> None:
    offer = await world.offer()
    names = [
        x509.OtherName(x509.ObjectIdentifier(f"1.3.6.1.4.1.99999.{i}"), b"\x0c\x24" + b"9" * 36)
        for i in (1, 2)
    ]
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )

    csr = request.sign(new_key(), hashes.SHA256()).public_bytes(Encoding.PEM)
    answer = await redeem(Enrollment(world.host), token_of(offer), csr)
    leaf = x509.load_pem_x509_certificate(answer["chain"].encode())
    claims = read_claims(leaf.public_bytes(Encoding.DER), DEFAULT_ARC)
    assert (claims.grant_id, claims.subject_id) == (offer.grant.id, world.ada)
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


async def test_what_is_withheld_is_told_by_no_id(world: Any) -> None:
    row = "0b9f6c1e-2a51-4c0e-9d27-6f1f0a3b8c4d"
    offer = await world.offer(exclude=(f"tasks/{row}", "notes"))
    seen = await Enrollment(world.host).offer(token_of(offer))
    assert row not in str(seen)
    assert "notes" not in str(seen)
    assert seen["scope"]["rows_withheld"] is True
    assert "some single rows are withheld" in seen["scope_in_words"]
    issued = await redeem(Enrollment(world.host), token_of(offer))
    assert row not in str(issued)


# Enrolling anew


async def test_a_new_url_replaces_the_certificate_in_the_moment_it_is_redeemed(world: Any) -> None:
    first = await world.offer()
    await redeem(Enrollment(world.host), token_of(first))
    before = await world.grants.show(first.grant.id)
    second = await world.grants.new_url(first.grant.id, actor="test")
    assert await world.grants.show(first.grant.id) == replace(before, version=3)
    await redeem(Enrollment(world.host), token_of(second))
    after = await world.grants.show(first.grant.id)
    assert (after.status, after.activated_at) == ("active", before.activated_at)
    assert after.serial != before.serial
    valid = await world.pool.fetch("SELECT serial FROM embedded_ca_certificates WHERE revoked_at IS NULL")
    assert [row["serial"] for row in valid] == [after.serial]
    changes = [change.change for change in await world.grants.history(first.grant.id)]
    assert changes == ["created", "enrolled", "reissued", "enrolled"]


async def test_of_several_new_urls_only_the_last_can_be_used(world: Any) -> None:
    first = await world.offer()
    urls = [first, *[await world.grants.new_url(first.grant.id, actor="test") for _ in range(3)]]
    for url in urls[:-1]:
        with pytest.raises(Gone, match="expired"):
            await redeem(Enrollment(world.host), token_of(url))
    await redeem(Enrollment(world.host), token_of(urls[-1]))
    assert (await world.grants.show(first.grant.id)).status == "active"


async def test_a_new_url_made_while_the_old_one_is_being_redeemed_wins(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, authority = await world.offer(), world.host.authority()
    sign, seconds = authority.issue_client, []

    async def meanwhile(csr: bytes, **ids: Any) -> Any:
        seconds.append(await world.grants.new_url(first.grant.id, actor="test"))
        return await sign(csr, **ids)

    with monkeypatch.context() as patch:
        patch.setattr(authority, "issue_client", meanwhile)
        with pytest.raises(Gone, match="taken back"):
            await redeem(Enrollment(world.host), token_of(first))
    await redeem(Enrollment(world.host), token_of(seconds[0]))
    query = "SELECT count(*) FROM embedded_ca_certificates WHERE revoked_at IS NULL"
    assert await world.pool.fetchval(query) == 1


async def test_a_url_taken_back_while_its_redemption_waits_for_the_grant_is_gone(world: Any) -> None:
    offer = await world.offer()
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with world.pool.transaction() as sql:
        await sql.execute("SELECT FROM federation_grants FOR UPDATE")
        redeeming = asyncio.create_task(redeem(Enrollment(world.host), token_of(offer)))
        async with asyncio.timeout(60):
            while not await world.pool.fetchval(waiting):  # noqa: ASYNC110 - the database sets no event
                await asyncio.sleep(0.02)
        await sql.execute("UPDATE federation_enrollment_tokens SET expires_at = clock_timestamp()")
    with pytest.raises(Gone, match="taken back"):
        await redeeming
    assert await spent(world) == 0
    assert await world.pool.fetchval("SELECT count(*) FROM federation_certificates") == 0
    assert (await world.grants.show(offer.grant.id)).serial is None


async def test_a_replay_of_a_url_whose_certificate_was_replaced_quarantines_nothing(world: Any) -> None:
    first = await world.offer()
    await redeem(Enrollment(world.host), token_of(first))
    second = await world.grants.new_url(first.grant.id, actor="test")
    await redeem(Enrollment(world.host), token_of(second))
    with pytest.raises(Gone):
        await redeem(Enrollment(world.host), token_of(first))
    assert (await world.grants.show(first.grant.id)).status == "active"
    with pytest.raises(Gone):
        await redeem(Enrollment(world.host), token_of(second))
    assert (await world.grants.show(first.grant.id)).status == "quarantined"


async def test_a_key_is_certified_once(world: Any) -> None:
    csr = signing_request(new_key())
    await redeem(Enrollment(world.host), token_of(await world.offer()), csr)
    second = await world.offer()
    with pytest.raises(Conflict, match="this key has a certificate already"):
        await redeem(Enrollment(world.host), token_of(second), csr)
    assert await spent(world) == 1
    await redeem(Enrollment(world.host), token_of(second))


async def test_an_authority_that_was_down_is_told_later_what_has_ended(
    world: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = await world.offer()
    await redeem(Enrollment(world.host), token_of(first))
    second = await world.grants.new_url(first.grant.id, actor="test")

    async def down(*_: object) -> None:
        raise Unavailable("the authority is down")

    with monkeypatch.context() as patch:
        patch.setattr(world.host.authority(), "revoke", down)
        await redeem(Enrollment(world.host), token_of(second))
    assert "not yet revoked" in caplog.text
    query = "SELECT count(*) FROM embedded_ca_certificates WHERE revoked_at IS NULL"
    assert await world.pool.fetchval(query) == 2
    await revocation_job(world.host).run({})
    assert await world.pool.fetchval(query) == 1


# Over HTTP, as a stranger with the URL sees it


def client(world: Any) -> Any:
    mount = Mount("public", enrollment_routes(world.host), anonymous=True)
    return listener_app("public", [mount], max_body_bytes=1_000_000).test_client()


async def test_the_offer_is_json_or_text_as_asked(world: Any) -> None:
    token = token_of(await world.offer())
    http = client(world)
    as_json = await http.get(f"/federation/v1/enroll/{token}")
    assert (await as_json.get_json())["gateway"] == "work"
    as_text = await http.get(f"/federation/v1/enroll/{token}", headers={"Accept": "text/plain"})
    assert "read, list and search tasks and notes" in await as_text.get_data(as_text=True)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"csr": "x" * 9000, "name": "home"},
        {"csr": "x", "name": "Home"},
        {"csr": "x", "name": "home", "not_after": "2099-01-01"},
        {"csr": ["x"], "name": "home"},
        [],
    ],
)
async def test_a_malformed_redemption_is_refused_and_spends_nothing(world: Any, body: Any) -> None:
    token = token_of(await world.offer())
    response = await client(world).post(f"/federation/v1/enroll/{token}", json=body)
    assert response.status_code == 422
    assert await spent(world) == 0


async def test_a_long_body_is_refused_before_it_is_parsed(world: Any) -> None:
    response = await client(world).post("/federation/v1/enroll/x", data=b"{" + b" " * 20_000)
    assert response.status_code == 413


async def test_statuses_over_http_and_no_token_in_answers_or_logs(
    world: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    token, http = token_of(await world.offer()), client(world)
    body = {"csr": signing_request(new_key()).decode(), "name": "home"}

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(world.host.authority(), "issue_client", broken)
        answers = [await http.post(f"/federation/v1/enroll/{token}", json=body)]
    answers += [await http.post(f"/federation/v1/enroll/{token}", json=body) for _ in range(2)]
    answers += [
        await http.get(f"/federation/v1/enroll/{token}"),
        await http.get(f"/federation/v1/enroll/{token}x"),
    ]
    assert [answer.status_code for answer in answers] == [500, 200, 410, 410, 404]
    for answer in answers:
        assert token not in await answer.get_data(as_text=True)
    assert token not in caplog.text


async def test_one_url_is_asked_for_only_so_often_whatever_the_address(world: Any) -> None:
    token, http = token_of(await world.offer()), client(world)
    statuses: list[int] = []
    while 429 not in statuses and len(statuses) < 250:  # one more is allowed each second
        answer = await http.get(
            f"/federation/v1/enroll/{token}", scope_base={"client": (f"10.0.0.{len(statuses)}", 1)}
        )
        statuses.append(answer.status_code)
    assert (statuses[-1], set(statuses[:-1]), len(statuses) > 60) == (429, {200}, True)
    assert "enrollment-url" in answer.headers["RateLimit"]
