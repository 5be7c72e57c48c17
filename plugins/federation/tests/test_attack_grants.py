"""Attacks on the states of grants: changes that meet at the worst moment."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mosaic_federation.enrollment import Enrollment
from mosaic_federation.keys import new_key, signing_request
from mosaic_federation.plugin import mosaic_jobs
from mosaic_hookspecs.errors import Invalid


class Rollback(Exception):
    """To leave a transaction undone."""


def token_of(offer: Any) -> str:
    return str(offer.url.partition("#")[0].rpartition("/")[2])


async def waits(world: Any, sessions: int) -> None:
    """Until so many sessions wait for somebody else's transaction."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(60):
        while await world.pool.fetchval(query) < sessions:  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.01)


async def test_a_certificate_stored_while_its_grant_is_revoked_is_revoked_too(world: Any) -> None:
    """The revocation begins before the enrollment's transaction ends, and goes on after it."""
    offer, other, key = await world.offer(), await world.offer(), new_key()
    redeemed = Enrollment(world.host).redeem(
        token_of(offer), csr=signing_request(key), name="home", request_id="r"
    )
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    stop = "INSERT INTO federation_certificates (serial, grant_id, key_sha256, not_after) VALUES ('1', $1, $2, now())"
    with suppress(Rollback):
        async with world.pool.transaction() as sql:  # keeps the enrollment from ending
            await sql.execute(stop, other.grant.id, sha256(public).digest())
            enrolling = asyncio.create_task(redeemed)
            await waits(world, 1)
            revoking = asyncio.create_task(world.grants.revoke(offer.grant.id, actor="root"))
            await waits(world, 2)
            raise Rollback
    await asyncio.gather(enrolling, revoking)
    assert (await world.grants.show(offer.grant.id)).status == "revoked"
    rows = await world.pool.fetch("SELECT ended_at, revoked_at FROM federation_certificates")
    assert [(row["ended_at"] is not None, row["revoked_at"] is not None) for row in rows] == [(True, True)]


@pytest.mark.parametrize("offset", ["+23:59", "-23:59", "+16:00", "-16:00"])
async def test_an_end_in_any_zone_is_kept_in_utc(world: Any, offset: str) -> None:
    """Postgres takes no offset of 16 hours or more."""
    ends = (datetime.now(UTC) + timedelta(days=9)).strftime("%Y-%m-%dT%H:%M:%S") + offset
    scope = {"resources": ["tasks"], "include_personal": True, "expires_at": ends}
    offer = await world.grants.create(subject="ada", peer="home", scope=scope, actor="root")
    assert offer.grant.expires_at == offer.grant.scope.expires_at == datetime.fromisoformat(ends)


@pytest.mark.parametrize("ends", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
async def test_an_end_that_is_no_time_is_refused(world: Any, ends: str) -> None:
    scope = {"resources": ["tasks"], "include_personal": True, "expires_at": ends}
    with pytest.raises(Invalid) as caught:
        await world.grants.create(subject="ada", peer="home", scope=scope, actor="root")
    assert [fault.where for fault in caught.value.faults] == ["scope.expires_at"]


async def test_one_scope_that_cannot_be_read_takes_no_other_grant_along(world: Any) -> None:
    """As a newer release, or a hand in the database, has left it."""
    (broken, _), (whole, _) = await world.enrolled(), await world.enrolled()
    break_it = "UPDATE federation_grants SET scope = scope || '{\"newer\": true}' WHERE id = $1"
    await world.pool.execute(break_it, broken)
    grants = world.grants
    listed = {grant.id: grant.scope for grant in await grants.all()}
    assert (listed[broken], listed[whole] is not None) == (None, True)
    shown = await grants.show(broken)
    assert await grants.words(shown) == ["nothing: this release cannot read its scope"]
    explained = await grants.explain(broken, "tasks", str(uuid4()))
    assert (explained.visible, explained.reasons) == (False, ("hidden: this release cannot read the scope",))
    with pytest.raises(Invalid, match="cannot read the scope"):
        await grants.update(broken, {"max_rows_per_query": 5}, actor="root")
    mended = {"resources": ["tasks"], "include_personal": True}
    assert (await grants.update(broken, mended, actor="root", replace=True)).scope is not None

    await world.pool.execute(break_it, broken)
    assert (await grants.revoke(broken, actor="root")).status == "revoked"
    query = "SELECT revoked_at IS NOT NULL FROM federation_certificates WHERE grant_id = $1"
    assert await world.pool.fetchval(query, broken)
    assert len(await grants.all()) == 2


async def test_an_explanation_knows_that_the_subject_has_left(world: Any) -> None:
    grant_id, _ = await world.enrolled()
    ada = await world.host.identity.user("ada")
    row = json.loads((await world.host.rows.create(ada, "tasks", b'{"title": "x"}')).body)["id"]
    assert (await world.grants.explain(grant_id, "tasks", row)).visible
    await world.gateway.identity.disable_user("ada")
    explained = await world.grants.explain(grant_id, "tasks", row)
    assert not explained.visible
    assert "hidden: the grant's subject is no longer a user here" in explained.reasons


async def test_a_grant_given_a_new_url_is_not_ended_for_its_old_one(world: Any) -> None:
    """The job has seen that the old URL lapsed, and waits for the reissue that is under way."""
    offer = await world.offer()
    await world.pool.execute("UPDATE federation_enrollment_tokens SET expires_at = now()")
    [job] = [one for one in mosaic_jobs(world.host) if one.name == "federation.expire"]
    async with world.pool.transaction() as sql:  # keeps the reissue from ending
        await sql.execute("LOCK TABLE federation_enrollment_tokens IN SHARE MODE")
        reissuing = asyncio.create_task(world.grants.new_url(offer.grant.id, actor="root"))
        await waits(world, 1)
        expiring = asyncio.create_task(job.run({}))
        await waits(world, 2)
    again, _ = await asyncio.gather(reissuing, expiring)
    assert (await world.grants.show(offer.grant.id)).status == "pending"
    csr = signing_request(new_key())
    await Enrollment(world.host).redeem(token_of(again), csr=csr, name="home", request_id="r")
    assert (await world.grants.show(offer.grant.id)).status == "active"


async def test_the_certificate_of_a_grant_that_ends_early_is_revoked_too(world: Any) -> None:
    (grant_id, _), (other, _) = await world.enrolled(days=9), await world.enrolled(days=9)
    lapse = "UPDATE federation_grants SET created_at = created_at - interval '1 day', expires_at = now() WHERE id = $1"
    await world.pool.execute(lapse, grant_id)
    jobs = {job.name: job for job in mosaic_jobs(world.host)}
    await jobs["federation.expire"].run({})
    await jobs["federation.revoke"].run({})
    rows = await world.pool.fetch("SELECT grant_id, revoked_at FROM federation_certificates")
    assert {row["grant_id"]: row["revoked_at"] is not None for row in rows} == {grant_id: True, other: False}
