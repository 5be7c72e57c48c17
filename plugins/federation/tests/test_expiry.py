"""What the scheduled job writes down, and that nobody sees more or less because of it."""

from __future__ import annotations

from typing import Any

import pytest

from mosaic_federation.enrollment import Enrollment
from mosaic_federation.gate import Asked, Gate
from mosaic_federation.keys import new_key, signing_request
from mosaic_federation.plugin import mosaic_jobs
from mosaic_federation.routes import enrollment_routes
from mosaic_gateway.http import listener_app
from mosaic_hookspecs.errors import Forbidden, Gone
from mosaic_hookspecs.types import Mount

LAPSE = (
    "UPDATE federation_grants SET created_at = now() - interval '2 days', expires_at = now() WHERE id = $1"
)
LATE = "UPDATE federation_enrollment_tokens SET expires_at = now() - make_interval(mins => $2) WHERE grant_id = $1"


async def run_job(world: Any) -> None:
    [job] = [one for one in mosaic_jobs(world.host) if one.name == "federation.expire"]
    await job.run({})


async def stored(world: Any) -> list[str]:
    rows = await world.pool.fetch("SELECT status::text FROM federation_grants ORDER BY created_at")
    return [row["status"] for row in rows]


async def test_only_lapsed_grants_become_expired(world: Any) -> None:
    active, _ = await world.enrolled()
    lapsed, certificate = await world.enrolled()
    waiting, missed = await world.offer(), await world.offer()
    await world.pool.execute(LAPSE, lapsed)
    await world.pool.execute(LATE, missed.grant.id, 1)
    for _ in range(2):
        await run_job(world)
    statuses = {
        row["id"]: row["status"]
        for row in await world.pool.fetch("SELECT id, status::text AS status FROM federation_grants")
    }
    assert statuses == {
        active: "active",
        lapsed: "expired",
        waiting.grant.id: "pending",
        missed.grant.id: "expired",
    }
    with pytest.raises(Forbidden, match="has expired"):
        await Gate(world.host).answer(certificate, Asked("list", "tasks", b"", "r", "192.0.2.1"), None)  # type: ignore[arg-type]


async def test_an_enrollment_url_that_was_missed_is_still_told_so_for_a_month(world: Any) -> None:
    offer = await world.offer()
    token = offer.url.partition("#")[0].rpartition("/")[2]
    await world.pool.execute(LATE, offer.grant.id, 29 * 24 * 60)
    await run_job(world)
    with pytest.raises(Gone, match="expired"):
        await Enrollment(world.host).redeem(
            token, csr=signing_request(new_key()), name="home", request_id="r"
        )
    await world.pool.execute(LATE, offer.grant.id, 31 * 24 * 60)
    await run_job(world)
    assert await world.pool.fetchval("SELECT count(*) FROM federation_enrollment_tokens") == 0


async def test_the_url_of_a_certificate_in_use_is_never_forgotten(world: Any) -> None:
    grant_id, _ = await world.enrolled()
    await world.pool.execute(LATE, grant_id, 400 * 24 * 60)
    await run_job(world)
    assert await world.pool.fetchval("SELECT count(*) FROM federation_enrollment_tokens") == 1
    await world.grants.revoke(grant_id, actor="test")
    await run_job(world)
    assert await world.pool.fetchval("SELECT count(*) FROM federation_enrollment_tokens") == 0


async def test_an_expired_grant_can_still_be_revoked(world: Any) -> None:
    grant_id, _ = await world.enrolled()
    await world.pool.execute(LAPSE, grant_id)
    await run_job(world)
    assert (await world.grants.revoke(grant_id, actor="test")).status == "revoked"


async def test_too_many_enrollment_requests_of_one_address_are_refused(world: Any) -> None:
    mount = Mount("public", enrollment_routes(world.host), anonymous=True)
    client = listener_app("public", [mount], max_body_bytes=10_000).test_client()
    statuses: list[int] = []
    while 429 not in statuses and len(statuses) < 250:  # one more is allowed each second
        refused = await client.get("/federation/v1/enroll/unknown")
        statuses.append(refused.status_code)
    assert (statuses[-1], set(statuses[:-1]), len(statuses) > 60) == (429, {404}, True)
    assert (await refused.get_json())["type"] == "urn:mosaic:problem:too-many"
    assert 0 < int(refused.headers["Retry-After"]) <= 1
    assert refused.headers["RateLimit-Policy"] == '"enrollment";q=60;w=60'
    assert refused.headers["RateLimit"].startswith('"enrollment";r=0;t=')
