"""Grants: what may be offered, and how they move from state to state."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from mosaic_federation.settings import Settings
from mosaic_hookspecs.errors import Conflict, Invalid, NotFound, Unavailable


async def test_an_offer_is_a_pending_grant_and_a_url_that_pins_the_authority(world: Any) -> None:
    offer = await world.offer(max_rows=7)
    assert offer.grant.status == "pending"
    assert offer.grant.scope.max_rows_per_query == 7
    address, _, pin = offer.url.partition("#")
    assert address.startswith("http://127.0.0.1:8080/federation/v1/enroll/")
    assert len(address.rpartition("/")[2]) >= 43
    assert pin.startswith("ca=")
    assert len(pin) == 3 + 64
    assert offer.words == (
        "read, list and search tasks and notes",
        "rows that are the subject's own",
        "at most 7 rows per query",
    )


async def test_the_token_is_in_no_table_and_no_repr(world: Any) -> None:
    offer = await world.offer()
    token = offer.url.partition("#")[0].rpartition("/")[2]
    tables = await world.pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'mosaic'")
    stored = [
        await world.pool.fetchval(f"SELECT string_agg(t::text, '') FROM {row[0]} AS t") for row in tables
    ]
    assert token not in "".join(text or "" for text in stored)
    assert token not in repr(offer)


@pytest.mark.parametrize(
    ("scope", "where", "says"),
    [
        ({"resources": ("tasks", "note")}, "scope.resources[1]", "did you mean 'notes'?"),
        ({"resources": ("users",)}, "scope.resources[0]", "known: notes, tasks"),
        ({"exclude": ("task/x",)}, "scope.excluded_resources[0]", "a resource/row-id"),
        ({"exclude": ("task",)}, "scope.excluded_resources[0]", "did you mean 'tasks'?"),
        ({"exclude": ("tasks/x",)}, "scope.excluded_resources[0]", "a resource/row-id"),
        ({"teams": ("garden",)}, "scope.include_teams[0]", "no team of the subject"),
        ({"max_rows": 0}, "scope.max_rows_per_query", "greater than or equal"),
        ({"personal": False}, "scope", "shares nothing"),
        ({"resources": ("tasks",), "exclude": ("tasks",)}, "scope", "shares nothing"),
        ({"resources": ()}, "scope.resources", "required"),
    ],
)
async def test_a_wrong_scope_is_refused_with_the_place(world: Any, scope: Any, where: str, says: str) -> None:
    with pytest.raises(Invalid) as caught:
        await world.offer(**scope)
    [fault] = caught.value.faults
    assert fault.where == where
    assert says in fault.message
    assert await world.grants.all() == []


async def test_every_fault_of_a_scope_is_named_at_once(world: Any) -> None:
    with pytest.raises(Invalid) as caught:
        await world.offer(resources=("task",), teams=("x",), exclude=("y",), all_teams=True)
    assert {fault.where for fault in caught.value.faults} == {
        "scope.resources[0]",
        "scope.excluded_resources[0]",
        "scope.include_teams[0]",
        "scope.include_teams",
    }


async def test_a_team_can_be_shared_only_by_its_member(world: Any) -> None:
    identities = world.host.identity
    await identities.add_team("garden")
    with pytest.raises(Invalid):
        await world.offer(teams=("garden",))
    await identities.add_member("garden", "ada")
    offer = await world.offer(teams=("garden",))
    assert "rows of garden" in offer.words


@pytest.mark.parametrize("name", ["", "Home", "a b", "-a", "a-", "a" * 64, "home\n", "hömе"])
async def test_a_peers_name_is_plain(world: Any, name: str) -> None:
    with pytest.raises(Invalid, match="name"):
        await world.grants.create(subject="ada", peer=name, scope=None, actor="test")


async def test_an_unknown_subject_is_refused(world: Any) -> None:
    with pytest.raises(NotFound):
        await world.offer(subject="nobody")


async def test_revoking_says_who_when_and_why_and_happens_once(world: Any) -> None:
    grant_id, _ = await world.enrolled()
    before = await world.grants.show(grant_id)
    revoked = await world.grants.revoke(grant_id, actor="root", reason="project ended")
    assert (revoked.status, revoked.revoked_by, revoked.reason) == ("revoked", "root", "project ended")
    assert revoked.revoked_at is not None
    assert revoked.version == before.version + 1
    serial = await world.pool.fetchval(
        "SELECT serial FROM embedded_ca_certificates WHERE revoked_at IS NOT NULL"
    )
    assert serial == before.serial
    with pytest.raises(Conflict, match="revoked already"):
        await world.grants.revoke(grant_id, actor="root")


async def test_only_one_of_many_revocations_succeeds(world: Any) -> None:
    grant_id, _ = await world.enrolled()
    outcomes = await asyncio.gather(
        *(world.grants.revoke(grant_id, actor=f"a{i}") for i in range(10)), return_exceptions=True
    )
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 9


async def test_a_grant_is_revoked_even_when_the_authority_cannot_be_told(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant_id, _ = await world.enrolled()
    await world.pool.execute("ALTER TABLE embedded_ca_certificates RENAME TO elsewhere")

    async def down(_serial: str) -> None:
        raise Unavailable("the authority is down")

    monkeypatch.setattr(world.host.authority(), "revoke", down)
    with pytest.raises(Unavailable, match="refused from now on"):
        await world.grants.revoke(grant_id, actor="root")
    assert (await world.grants.show(grant_id)).status == "revoked"


async def test_a_lapsed_grant_reads_as_expired(world: Any) -> None:
    offer = await world.offer()
    await world.pool.execute("UPDATE federation_enrollment_tokens SET expires_at = now()")
    assert (await world.grants.show(offer.grant.id)).status == "expired"
    grant_id, _ = await world.enrolled()
    await world.pool.execute(
        "UPDATE federation_grants SET created_at = now() - interval '2 day', expires_at = now()"
    )
    assert (await world.grants.show(grant_id)).status == "expired"


async def test_an_unknown_grant_is_not_found(world: Any) -> None:
    with pytest.raises(NotFound):
        await world.grants.show(uuid4())
    with pytest.raises(NotFound):
        await world.grants.revoke(uuid4(), actor="root")


async def test_a_grant_can_be_asked_about_a_row(world: Any) -> None:
    user = await world.host.identity.user("ada")
    answer = await world.host.rows.create(user, "tasks", b'{"title": "mine"}')
    row_id = answer.body.decode().partition('"id":')[2].partition('"')[2].partition('"')[0]
    offer = await world.offer(exclude=(f"tasks/{row_id}",))
    hidden = await world.grants.explain(offer.grant.id, "tasks", row_id)
    assert not hidden.visible
    shown = await world.grants.explain((await world.offer()).grant.id, "tasks", row_id)
    assert shown.visible
    assert shown.reasons


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"listen": {"host": "0.0.0.0"}}, "advertise"),
        ({"advertise": "work.example"}, "advertise"),
        ({"advertise": "work.example:0"}, "advertise"),
        ({"advertise": "https://work.example:8443"}, "advertise"),
        ({"listen": {"port": 0}}, "port"),
        ({"enrollment_ttl": 1}, "enrollment_ttl"),
        ({"listne": {}}, "listne"),
    ],
)
def test_settings_that_peers_could_not_use_are_refused(table: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Settings.model_validate(table)


@pytest.mark.parametrize(
    ("table", "url"),
    [
        ({}, "https://127.0.0.1:8443"),
        ({"listen": {"host": "::1", "port": 9000}}, "https://[::1]:9000"),
        ({"listen": {"host": "0.0.0.0"}, "advertise": "work.example:9443"}, "https://work.example:9443"),
        ({"advertise": "[2001:db8::1]:9443"}, "https://[2001:db8::1]:9443"),
    ],
)
def test_peers_are_told_where_to_dial(table: Any, url: str) -> None:
    assert str(Settings.model_validate(table).url) == url
