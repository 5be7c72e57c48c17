"""Enrollment on the side that shares: looked at freely, redeemed once, and never half."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from mosaic_federation.enrollment import Enrollment
from mosaic_federation.keys import new_key, signing_request
from mosaic_federation.oids import read_claims
from mosaic_federation.routes import enrollment_routes
from mosaic_gateway.http import listener_app
from mosaic_hookspecs.errors import Gone, Invalid, NotFound, Unavailable
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


async def test_fifty_at_once_in_four_processes_give_exactly_one_certificate(world: Any) -> None:
    token = token_of(await world.offer())
    processes = [Enrollment(world.host) for _ in range(4)]
    outcomes = await asyncio.gather(
        *(redeem(processes[i % 4], token) for i in range(50)), return_exceptions=True
    )
    assert sum(isinstance(outcome, dict) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Gone) for outcome in outcomes) == 49
    assert await world.pool.fetchval("SELECT count(*) FROM embedded_ca_certificates") == 1


async def test_a_replay_is_gone_and_on_record(world: Any) -> None:
    offer = await world.offer()
    await redeem(Enrollment(world.host), token_of(offer))
    for attempt in (
        redeem(Enrollment(world.host), token_of(offer)),
        Enrollment(world.host).offer(token_of(offer)),
    ):
        with pytest.raises(Gone, match="used already"):
            await attempt
    assert await world.audit() == [("enroll", "", "ok"), ("enroll", "", "gone")]


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
    assert await world.audit() == [("enroll", "", "gone")]
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
    claims = read_claims(leaf.public_bytes(Encoding.DER))
    assert (claims.grant_id, claims.subject_id) == (offer.grant.id, world.ada)
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


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
