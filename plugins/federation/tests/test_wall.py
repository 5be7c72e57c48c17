"""What the database itself finds a grant to open, and how an admin learns that peers are not answered."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from mosaic_federation.wall import wall_probe
from mosaic_hookspecs.errors import NotFound, Unavailable
from mosaic_hookspecs.scope import Scope
from mosaic_hookspecs.types import GrantView

SCOPE = Scope(resources=("tasks",), include_personal=True)


@pytest.fixture
async def view(world: Any) -> GrantView:
    """A grant in force, with a row to see."""
    view = GrantView(uuid4(), world.ada, SCOPE)
    await world.pool.execute(
        "INSERT INTO federation_grants (id, subject_id, peer_name, scope, status, serial, not_after, activated_at,"
        " created_by)"
        " VALUES ($1, $2, 'home', $3::text::jsonb, 'active', 'ab', now() + interval '1 day', now(), 'test')",
        view.grant_id,
        view.subject_id,
        SCOPE.model_dump_json(),
    )
    ada = await world.host.identity.user("ada")
    await world.host.rows.create(ada, "tasks", b'{"title": "hers"}')
    assert (await world.host.rows.list(view, "tasks", {})).rows == 1
    return view


@pytest.mark.parametrize(
    "change",
    [
        "status = 'revoked', revoked_at = now()",
        "status = 'expired'",
        "status = 'pending'",
        "status = 'quarantined'",
        "created_at = now() - interval '2 days', expires_at = now()",
        """scope = scope || '{"expires_at": "2000-01-01T00:00:00Z"}'""",
        """scope = scope || '{"resources": ["notes"]}'""",
        """scope = scope || '{"include_personal": false}'""",
        """scope = scope || '{"excluded_resources": ["tasks"]}'""",
        """scope = scope || '{"what_a_later_release_adds": true}'""",
    ],
)
async def test_what_a_grant_no_longer_opens_the_database_does_not_show(
    world: Any, view: GrantView, change: str
) -> None:
    """Whatever the gateway still believes of it: the view is as before."""
    await world.pool.execute(f"UPDATE federation_grants SET {change}")
    assert (await world.host.rows.list(view, "tasks", {})).rows == 0
    assert (await world.host.rows.search(view, "tasks", {"q": "hers"})).rows == 0


async def test_a_disabled_subject_and_an_unknown_grant_are_shown_nothing(world: Any, view: GrantView) -> None:
    unknown = GrantView(uuid4(), view.subject_id, SCOPE)
    assert (await world.host.rows.list(unknown, "tasks", {})).rows == 0
    await world.pool.execute("UPDATE users SET disabled_at = now()")
    assert (await world.host.rows.list(view, "tasks", {})).rows == 0


async def test_a_wider_view_than_the_grant_on_record_is_shown_no_more(world: Any, view: GrantView) -> None:
    ada = await world.host.identity.user("ada")
    await world.host.rows.create(ada, "notes", b'{"title": "not shared"}')
    wider = GrantView(
        view.grant_id, view.subject_id, Scope(resources=("tasks", "notes"), include_personal=True)
    )
    assert (await world.host.rows.list(wider, "notes", {})).rows == 0
    await world.host.identity.add_user("bob")
    bob = await world.host.identity.user("bob")
    await world.host.rows.create(bob, "tasks", b'{"title": "his"}')
    other = GrantView(view.grant_id, bob.id, SCOPE)
    assert (await world.host.rows.list(other, "tasks", {})).rows == 0


async def test_the_doctor_finds_the_wall_and_what_is_missing_of_it(world: Any, view: GrantView) -> None:
    check = wall_probe(world.host).check
    finding = await check()
    assert (finding.status, "mosaic_peer" in finding.detail) == ("green", True)
    await world.pool.execute("ALTER TABLE tasks DISABLE ROW LEVEL SECURITY")
    finding = await check()
    assert (finding.status, finding.remedy) == ("yellow", "start the gateway anew: it mends them")


async def test_where_the_wall_is_missing_the_peer_is_told_no_more_than_that(
    world: Any, view: GrantView
) -> None:
    world.host.rows._peers = None
    with pytest.raises(Unavailable) as caught:
        await world.host.rows.list(view, "tasks", {})
    assert "role" not in str(caught.value)


async def test_a_row_hidden_by_either_wall_is_answered_like_an_absent_one(
    world: Any, view: GrantView
) -> None:
    ada = await world.host.identity.user("ada")
    listed = await world.pool.fetchval("SELECT id FROM tasks")
    await world.pool.execute(
        """UPDATE federation_grants SET scope = scope || '{"include_personal": false}'"""
    )
    told = set()
    for row_id in (listed, uuid4(), UUID(int=0)):
        with pytest.raises(NotFound) as caught:
            await world.host.rows.get(view, "tasks", str(row_id))
        told.add(str(caught.value))
    assert len(told) == 1
    assert await world.host.rows.get(ada, "tasks", str(listed))


async def test_where_the_gateway_may_not_make_the_role_the_doctor_says_what_a_superuser_runs(
    world: Any,
) -> None:
    row = {"role": 'odd"_peer', "owner": 'odd"', "usable": False, "complete": False, "may_create": False}

    class Asked:
        async def fetchval(self, *_: Any) -> bool:
            return True

        async def fetchrow(self, *_: Any) -> Any:
            return row | {"indexed": False}

    class Host:
        database = Asked()

    finding = await wall_probe(Host()).check()  # type: ignore[arg-type]
    assert (finding.status, finding.fix) == ("red", None)
    assert 'CREATE ROLE "odd""_peer" NOLOGIN; GRANT "odd""_peer" TO "odd"""' in finding.remedy
    row |= {"may_create": True}
    assert (await wall_probe(Host()).check()).fix is not None  # type: ignore[arg-type]
    row |= {"usable": True, "complete": True}
    assert "LEAKPROOF" in (await wall_probe(Host()).check()).detail  # type: ignore[arg-type]
