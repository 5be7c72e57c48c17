"""The states of a grant: every change from every state, who made it, and two admins at the same time."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from mosaic_federation.enrollment import Enrollment
from mosaic_federation.gate import Admitted, Asked, Gate
from mosaic_federation.keys import new_key, signing_request
from mosaic_federation.plugin import mosaic_jobs
from mosaic_federation.scopes import ScopeRequest
from mosaic_hookspecs.errors import Conflict, Forbidden, Gone, Invalid, NotFound
from mosaic_hookspecs.types import Answer

LAPSE = "UPDATE federation_grants SET created_at = created_at - interval '2 days', expires_at = now() WHERE id = $1"
MISS = "UPDATE federation_enrollment_tokens SET expires_at = now() WHERE grant_id = $1"


def token_of(offer: Any) -> str:
    return str(offer.url.partition("#")[0].rpartition("/")[2])


async def redeem(world: Any, token: str) -> None:
    csr = signing_request(new_key())
    await Enrollment(world.host).redeem(token, csr=csr, name="home", request_id="r")


async def run_job(world: Any) -> None:
    [job] = [one for one in mosaic_jobs(world.host) if one.name == "federation.expire"]
    await job.run({})


@dataclass
class Case:
    """A grant in some state, with a URL that was spent (if it ever enrolled) and one that was not."""

    world: Any
    id: UUID
    unspent: str
    spent: str = ""

    async def enroll(self) -> None:
        await redeem(self.world, self.unspent)

    async def replay(self) -> None:
        with pytest.raises(Gone):
            await redeem(self.world, self.spent)

    async def release(self) -> None:
        await self.world.grants.release(self.id, actor="root", reason="why not")

    async def update(self) -> None:
        await self.world.grants.update(self.id, ScopeRequest(max_rows=5), actor="root", reason="less")

    async def new_url(self) -> None:
        await self.world.grants.new_url(self.id, actor="root", reason="lost")

    async def revoke(self) -> None:
        await self.world.grants.revoke(self.id, actor="root", reason="over")

    async def lapse(self) -> None:
        await self.world.pool.execute(LAPSE, self.id)
        await run_job(self.world)

    async def miss(self) -> None:
        await self.world.pool.execute(MISS, self.id)
        await run_job(self.world)

    async def status(self) -> str:
        query = "SELECT status::text FROM federation_grants WHERE id = $1"
        return str(await self.world.pool.fetchval(query, self.id))


async def case(world: Any, state: str) -> Case:
    offer = await world.offer()
    made = Case(world, offer.grant.id, token_of(offer))
    if state in {"pending", "missed"}:
        if state == "missed":
            await made.miss()
        return made
    await made.enroll()
    made.spent = made.unspent
    made.unspent = token_of(await world.grants.new_url(made.id, actor="root"))
    steps = {"quarantined": made.replay, "revoked": made.revoke, "expired": made.lapse}
    if state in steps:
        await steps[state]()
    return made


#: What each state becomes by each change; what is not here is refused and changes nothing.
BECOMES = {
    "pending": {"enroll": "active", "update": "pending", "new_url": "pending", "revoke": "revoked",
                "lapse": "expired", "miss": "expired"},
    "active": {"enroll": "active", "replay": "quarantined", "update": "active", "new_url": "active",
               "revoke": "revoked", "lapse": "expired"},
    "quarantined": {"release": "active", "revoke": "revoked", "lapse": "expired"},
    "revoked": {},
    "expired": {"revoke": "revoked"},
    "missed": {"new_url": "pending", "revoke": "revoked"},
}  # fmt: skip
CHANGES = ("enroll", "replay", "release", "update", "new_url", "revoke", "lapse", "miss")
BY_TIME = {"lapse", "miss", "replay"}  # never an error of theirs: what cannot change stays as it is
WRITTEN = {"enroll": "enrolled", "replay": "quarantined", "release": "released", "update": "updated",
           "new_url": "reissued", "revoke": "revoked", "lapse": "expired", "miss": "expired"}  # fmt: skip


@pytest.mark.parametrize(
    ("state", "change"),
    [
        (state, change)
        for state in BECOMES
        for change in CHANGES
        if change != "replay" or state not in {"pending", "missed"}  # nothing was spent yet
    ],
)
async def test_every_change_from_every_state(world: Any, state: str, change: str) -> None:
    made = await case(world, state)
    stored, before = await made.status(), await world.grants.show(made.id)
    becomes = BECOMES[state].get(change)
    if becomes or change in BY_TIME:
        await getattr(made, change)()
    else:
        with pytest.raises((Conflict, Gone)):
            await getattr(made, change)()
    after, history = await world.grants.show(made.id), await world.grants.history(made.id)
    assert await made.status() == (becomes or stored)
    assert after.version == before.version + bool(becomes)
    assert [each.version for each in history] == list(range(1, after.version + 1))
    if becomes:
        assert history[-1].change == WRITTEN[change]
        by_whom = {"enroll": "peer:home", "replay": "gateway", "lapse": "gateway", "miss": "gateway"}
        assert history[-1].actor == by_whom.get(change, "root")
        assert history[-1].at > datetime.now(UTC) - timedelta(minutes=1)


async def test_history_says_who_when_and_why(world: Any) -> None:
    made = await case(world, "quarantined")
    await made.release()
    await made.update()
    await made.revoke()
    told = [(each.change, each.actor, each.reason) for each in await world.grants.history(made.id)]
    assert told[:3] == [
        ("created", "test", None),
        ("enrolled", "peer:home", None),
        ("reissued", "root", None),
    ]
    assert told[3][:2] == ("quarantined", "gateway")
    assert "second time" in (told[3][2] or "")
    assert told[4:] == [
        ("released", "root", "why not"),
        ("updated", "root", "less"),
        ("revoked", "root", "over"),
    ]


async def test_another_version_than_the_expected_one_is_a_conflict(world: Any) -> None:
    made = await case(world, "active")
    grants, version = world.grants, (await world.grants.show(made.id)).version
    await grants.update(made.id, ScopeRequest(max_rows=9), actor="a", expected_version=version)
    attempts = (
        grants.update(made.id, ScopeRequest(max_rows=8), actor="b", expected_version=version),
        grants.new_url(made.id, actor="b", expected_version=version),
        grants.revoke(made.id, actor="b", expected_version=version),
    )
    for attempt in attempts:
        with pytest.raises(Conflict, match=f"at version {version + 1}, not {version}"):
            await attempt
    assert (await grants.show(made.id)).scope.max_rows_per_query == 9
    await made.enroll()  # and the URL is still the one from before


async def test_of_many_updates_of_one_version_one_is_made(world: Any) -> None:
    made = await case(world, "active")
    version = (await world.grants.show(made.id)).version
    outcomes = await asyncio.gather(
        *(
            world.grants.update(made.id, ScopeRequest(max_rows=n), actor=f"a{n}", expected_version=version)
            for n in range(1, 21)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(one, Conflict) for one in outcomes) == 19
    [winner] = [n for n, one in enumerate(outcomes, 1) if not isinstance(one, Exception)]
    assert (await world.grants.show(made.id)).scope.max_rows_per_query == winner
    assert (await world.grants.history(made.id))[-1].actor == f"a{winner}"


async def test_an_update_holds_from_the_next_request_on(world: Any) -> None:
    user = await world.host.identity.user("ada")
    for title in ("one", "two"):
        await world.host.rows.create(user, "tasks", json.dumps({"title": title}).encode())
    grant_id, certificate = await world.enrolled()

    async def ask() -> list[dict[str, Any]]:
        async def read(admitted: Admitted) -> Answer:
            found: Answer = await world.host.rows.list(admitted.view, "tasks", {})
            return found

        answer = await Gate(world.host).answer(
            certificate, Asked("list", "tasks", b"", "r", "192.0.2.1"), read
        )
        items: list[dict[str, Any]] = json.loads(answer.body)["items"]
        return items

    assert len(await ask()) == 2
    await world.grants.update(grant_id, ScopeRequest(max_rows=1, fields=("tasks=title",)), actor="root")
    [row] = await ask()
    assert set(row) == {"id", "title"}
    kept = (await world.grants.show(grant_id)).scope
    assert kept.resources == ("tasks", "notes")  # what was not named stays
    whole = {"resources": ["notes"], "include_personal": True}
    assert (await world.grants.update(grant_id, whole, actor="root", replace=True)).scope.fields == {}
    with pytest.raises(NotFound):
        await ask()
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    changed = await world.grants.update(grant_id, ScopeRequest(expires_at=soon), actor="root")
    assert changed.expires_at == soon
    await asyncio.sleep((soon - datetime.now(UTC)).total_seconds() + 0.1)
    with pytest.raises(Forbidden, match="has expired"):
        await ask()


async def test_an_update_that_cannot_be_changes_nothing(world: Any) -> None:
    grant_id, _ = await world.enrolled()
    before = await world.grants.show(grant_id)
    with pytest.raises(Invalid) as caught:
        await world.grants.update(grant_id, ScopeRequest(fields=("tasks=titel",)), actor="root")
    [fault] = caught.value.faults
    assert (fault.where, "did you mean 'title'?" in fault.message) == ("scope.fields.tasks[0]", True)
    with pytest.raises(Invalid):
        await world.grants.update(grant_id, {"resources": ["tasks"]}, actor="root", replace=True)
    with pytest.raises(NotFound):
        await world.grants.update(uuid4(), ScopeRequest(max_rows=1), actor="root")
    assert await world.grants.show(grant_id) == before


async def test_a_new_url_puts_the_one_before_out_of_use(world: Any) -> None:
    offer = await world.offer()
    again = await world.grants.new_url(offer.grant.id, actor="root")
    assert again.url != offer.url
    assert again.url.partition("#")[2] == offer.url.partition("#")[2]
    with pytest.raises(Gone):
        await redeem(world, token_of(offer))
    await redeem(world, token_of(again))
    assert (await world.grants.show(offer.grant.id)).status == "active"


async def test_a_stored_scope_that_is_none_is_refused_and_can_be_revoked(world: Any) -> None:
    grant_id, certificate = await world.enrolled()
    await world.pool.execute("""UPDATE federation_grants SET scope = scope || '{"all": true}'""")
    with pytest.raises(Forbidden, match="scope is not one"):
        await Gate(world.host).answer(certificate, Asked("list", "tasks", b"", "r", "192.0.2.1"), None)  # type: ignore[arg-type]
    assert [grant.scope for grant in await world.grants.all()] == [None]
    await world.grants.revoke(grant_id, actor="root")
    stored = await world.pool.fetchval("SELECT status::text FROM federation_grants")
    assert stored == "revoked"


async def test_grants_are_listed_by_state_and_peer(world: Any) -> None:
    pending, active = await case(world, "pending"), await case(world, "active")
    missed = await case(world, "pending")
    await world.pool.execute(MISS, missed.id)  # expired as of now, though no job has run
    grants = world.grants
    assert [one.id for one in await grants.all(status="pending")] == [pending.id]
    assert [one.id for one in await grants.all(status="active", peer="home")] == [active.id]
    assert [one.id for one in await grants.all(status="expired")] == [missed.id]
    assert await grants.all(peer="guest") == []
    assert len(await grants.all()) == 3
