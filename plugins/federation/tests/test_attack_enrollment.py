"""Attacks on the gateway that shares: by whoever has a URL, old or new, and by an authority that is slow."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from mosaic_federation.enrollment import Enrollment
from mosaic_federation.keys import new_key, signing_request
from mosaic_federation.routes import enrollment_routes
from mosaic_gateway.http import listener_app
from mosaic_hookspecs.errors import Gone
from mosaic_hookspecs.testing.authorities import request_of_version_2
from mosaic_hookspecs.types import AuditEvent, Mount


def token_of(offer: Any) -> str:
    return str(offer.url.partition("#")[0].rpartition("/")[2])


async def redeem(world: Any, token: str, csr: bytes | None = None) -> dict[str, Any]:
    body = csr or signing_request(new_key())
    return await Enrollment(world.host).redeem(token, csr=body, name="home", request_id="r1")


def client(world: Any) -> Any:
    mount = Mount("public", enrollment_routes(world.host), anonymous=True)
    return listener_app("public", [mount], max_body_bytes=1_000_000).test_client()


async def test_a_released_grant_is_not_quarantined_by_the_same_url_again(world: Any) -> None:
    """Whoever has the spent URL could keep its peer out for ever, and stop its renewal."""
    offer = await world.offer()
    await redeem(world, token_of(offer))
    with pytest.raises(Gone):
        await redeem(world, token_of(offer))
    assert (await world.grants.release(offer.grant.id, actor="test")).status == "active"
    with pytest.raises(Gone):
        await redeem(world, token_of(offer))
    assert (await world.grants.show(offer.grant.id)).status == "active"
    renewed = await world.grants.new_url(offer.grant.id, actor="test")
    await redeem(world, token_of(renewed))
    with pytest.raises(Gone):
        await redeem(world, token_of(renewed))
    assert (await world.grants.show(offer.grant.id)).status == "quarantined"


async def test_an_authority_slow_to_revoke_withholds_no_certificate(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the token is spent the answer must leave, before whoever waits for it gives up."""
    offer = await world.offer()
    for _ in range(3):
        await redeem(world, token_of(offer))
        offer = await world.grants.new_url(offer.grant.id, actor="test")

    async def slow(*_: object) -> None:
        await asyncio.sleep(60)

    with monkeypatch.context() as patch:
        patch.setattr(world.host.authority(), "revoke", slow)
        patch.setattr("mosaic_federation.certificates._PATIENCE", 0.5)
        async with asyncio.timeout(30):
            await redeem(world, token_of(offer))
    query = "SELECT count(*) FROM federation_certificates WHERE ended_at IS NOT NULL AND revoked_at IS NULL"
    assert await world.pool.fetchval(query) == 1


async def test_many_enrollments_at_once_starve_neither_each_other_nor_the_audit_log(world: Any) -> None:
    offers = [await world.offer() for _ in range(40)]
    async with asyncio.timeout(60):
        answers = await asyncio.gather(*(redeem(world, token_of(o)) for o in offers), return_exceptions=True)
    assert {type(answer) for answer in answers} == {dict}


async def test_a_grant_taken_back_after_its_row_was_written_is_on_record_as_refused(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often its URL was tried before: the row before it says that it went well."""
    offer = await world.offer()
    for _ in range(25):
        await Enrollment(world.host).offer(token_of(offer))
    sink = world.host.audit()
    record = type(sink).record

    async def then_revoke(self: Any, event: AuditEvent) -> None:
        await record(self, event)
        if (event.verb, event.outcome) == ("enroll", "ok"):
            await world.grants.revoke(offer.grant.id, actor="test")

    monkeypatch.setattr(type(sink), "record", then_revoke)
    with pytest.raises(Gone):
        await redeem(world, token_of(offer))
    assert (await world.audit())[-2:] == [("enroll", "", "ok"), ("enroll", "", "gone")]
    query = "SELECT count(*) FROM embedded_ca_certificates WHERE revoked_at IS NULL"
    assert await world.pool.fetchval(query) == 0


@pytest.mark.parametrize(
    "token", ["%ff", "%ed%a0%80", "%00", "%0d%0aX: y", "a" * 5000, "%f0%9f%98%80", "..", "%2e%2e", "\\", "'"]
)
async def test_no_spelling_of_a_token_is_more_than_not_found(world: Any, token: str) -> None:
    http = client(world)
    body = {"csr": signing_request(new_key()).decode(), "name": "home"}
    for answer in (
        await http.get(f"/federation/v1/enroll/{token}"),
        await http.post(f"/federation/v1/enroll/{token}", json=body),
    ):
        assert answer.status_code == 404


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])
async def test_no_method_but_post_spends_the_token(world: Any, method: str) -> None:
    offer = await world.offer()
    body = {"csr": signing_request(new_key()).decode(), "name": "home"}
    for headers in ({}, {"X-HTTP-Method-Override": "POST"}, {"Content-Type": "application/json"}):
        answer = await client(world).open(
            f"/federation/v1/enroll/{token_of(offer)}?_method=POST",
            method=method,
            data=json.dumps(body),
            headers=headers,
        )
        assert answer.status_code == (200 if method == "HEAD" else 405)
    assert (await world.grants.show(offer.grant.id)).status == "pending"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe{",
        b"[" * 10_000,
        b'{"csr": "\\ud800", "name": "home"}',
        b'{"csr": 1' + b"0" * 9000 + b', "name": "home"}',
        b'{"csr": "x", "csr": "y", "name": "home\\n"}',
        json.dumps({"csr": "-----BEGIN CERTIFICATE REQUEST-----", "name": "home"}).encode(),
        json.dumps({"csr": request_of_version_2().decode(), "name": "home"}).encode(),
        json.dumps({"csr": "é" + signing_request(new_key()).decode()[1:], "name": "home"}).encode(),
    ],
)
async def test_no_body_is_more_than_invalid(world: Any, body: bytes) -> None:
    offer = await world.offer()
    answer = await client(world).post(f"/federation/v1/enroll/{token_of(offer)}", data=body)
    assert answer.status_code == 422, await answer.get_data()
    await redeem(world, token_of(offer))
