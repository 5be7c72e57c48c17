"""Attacks on the states of grants: changes that meet at the worst moment."""

from __future__ import annotations

import asyncio
from typing import Any

from mosaic_federation.enrollment import Enrollment
from mosaic_federation.keys import new_key, signing_request


def token_of(offer: Any) -> str:
    return str(offer.url.partition("#")[0].rpartition("/")[2])


async def waits_for_a_lock(world: Any) -> None:
    """Until a revocation waits for somebody else's transaction."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while not await world.pool.fetchval(query):
        await asyncio.sleep(0.01)


async def test_a_certificate_stored_while_its_grant_is_revoked_is_revoked_too(world: Any) -> None:
    """The revocation begins before the enrollment's transaction ends, and goes on after it."""
    offer = await world.offer()
    enrollment, meets = Enrollment(world.host), asyncio.Event()
    [sink], going = world.gateway.sinks, asyncio.Event()

    class Late:
        async def record(self, event: Any) -> None:
            if event.verb == "enroll":  # inside the transaction, the certificate is stored
                meets.set()
                await going.wait()
            await sink.record(event)

    world.gateway.sinks = [Late()]
    csr = signing_request(new_key())
    enrolling = asyncio.create_task(
        enrollment.redeem(token_of(offer), csr=csr, name="home", request_id="r")
    )
    await meets.wait()
    revoking = asyncio.create_task(world.grants.revoke(offer.grant.id, actor="root"))
    await waits_for_a_lock(world)
    going.set()
    await asyncio.gather(enrolling, revoking)
    assert (await world.grants.show(offer.grant.id)).status == "revoked"
    rows = await world.pool.fetch("SELECT ended_at, revoked_at FROM federation_certificates")
    assert [(row["ended_at"] is not None, row["revoked_at"] is not None) for row in rows] == [(True, True)]
