"""Who sees which rows: every door of ResourceRows against a rule written again in plain Python."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosaic_hookspecs.errors import MosaicError, NotFound
from mosaic_hookspecs.scope import Scope
from mosaic_hookspecs.types import GrantView, User

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Row:
    id: UUID
    owner: UUID
    team: UUID | None
    word: str
    created: datetime


@dataclass
class World:
    users: list[User]
    memberships: set[tuple[UUID, UUID]]  # team, user
    rows: list[Row]
    grants: list[GrantView]


@st.composite
def worlds(draw):
    users = [User(uuid4(), f"u{uuid4().hex}") for _ in range(draw(st.integers(1, 3)))]
    teams = [uuid4() for _ in range(draw(st.integers(0, 3)))]
    pairs = [(team, user.id) for team in teams for user in users]
    memberships = draw(st.sets(st.sampled_from(pairs))) if pairs else set()
    owner, team = st.sampled_from(users).map(lambda user: user.id), st.sampled_from([None, *teams])
    created = st.integers(0, 3).map(lambda n: START + timedelta(seconds=n))  # ties on purpose
    word = st.sampled_from(["apple", "pear"])
    rows = draw(st.lists(st.builds(Row, st.builds(uuid4), owner, team, word, created), max_size=10))
    return World(users, memberships, rows, draw(st.lists(grants(users, teams, rows), min_size=1, max_size=3)))


@st.composite
def grants(draw, users, teams, rows):
    personal = draw(st.booleans())
    some = st.lists(st.sampled_from([*teams, uuid4()]), min_size=not personal, unique=True).map(tuple)
    excluded = draw(st.sets(st.sampled_from([f"things/{row.id}" for row in rows]))) if rows else set()
    scope = Scope(
        resources=draw(st.sampled_from([("things",), ("plain",), ("plain", "things")])),
        excluded_resources=tuple(excluded) + draw(st.sampled_from([(), ("secrets",)])),
        include_teams=draw(st.one_of(st.just("all"), some)),
        include_personal=personal,
        max_rows_per_query=draw(st.sampled_from([1, 3, 100])),
    )
    return GrantView(uuid4(), draw(st.sampled_from(users)).id, scope)


def sees(world: World, viewer: User | GrantView, row: Row) -> bool:
    """The rule, once more: what the brief of the project says, not what the SQL says."""
    if isinstance(viewer, User):
        return row.owner == viewer.id if row.team is None else (row.team, viewer.id) in world.memberships
    scope = viewer.scope
    if "things" not in scope.resources or f"things/{row.id}" in scope.excluded_resources:
        return False
    if row.team is None:
        return scope.include_personal and row.owner == viewer.subject_id
    named = scope.include_teams == "all" or row.team in scope.include_teams
    return named and (row.team, viewer.subject_id) in world.memberships


async def store(pool, world: World) -> None:
    teams = {row.team for row in world.rows if row.team} | {team for team, _ in world.memberships}
    await pool.executemany(
        "INSERT INTO users (id, username) VALUES ($1, $2)", [(u.id, u.username) for u in world.users]
    )
    await pool.executemany(
        "INSERT INTO teams (id, slug) VALUES ($1, $2)", [(team, f"t{team}") for team in teams]
    )
    await pool.executemany(
        "INSERT INTO memberships (team_id, user_id) VALUES ($1, $2)", list(world.memberships)
    )
    await pool.executemany(
        "INSERT INTO things (id, owner_id, team_id, title, created_at, body, kind, tags, extra)"
        " VALUES ($1, $2, $3, $4, $5, '', 'a', '{}', '{}')",
        [(row.id, row.owner, row.team, row.word, row.created) for row in world.rows],
    )


def ids(body: bytes) -> list[UUID]:
    return [UUID(item["id"]) for item in json.loads(body)["items"]]


async def refused(attempt, kind: type[MosaicError] = NotFound) -> bool:
    try:
        await attempt
    except kind:
        return True
    return False


@given(world=worlds())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_every_door_shows_exactly_what_the_rule_allows(pool, rows, world):
    await store(pool, world)
    for viewer in (*world.users, *world.grants):
        seen = [row for row in world.rows if sees(world, viewer, row)]
        seen.sort(key=lambda row: (row.created, row.id.int), reverse=True)
        cap = viewer.scope.max_rows_per_query if isinstance(viewer, GrantView) else 200
        if isinstance(viewer, GrantView) and "things" not in viewer.scope.resources:
            assert await refused(rows.list(viewer, "things", {}))
            assert await refused(rows.search(viewer, "things", {"q": "apple"}))
            assert await refused(anext(rows.export(viewer, "things")))
        else:
            assert ids((await rows.list(viewer, "things", {})).body) == [row.id for row in seen][:cap]
            found = ids((await rows.search(viewer, "things", {"q": "apple"})).body)
            assert found == [row.id for row in seen if row.word == "apple"][:cap]
            exported = [UUID(json.loads(item)["id"]) async for item in rows.export(viewer, "things")]
            assert exported == [row.id for row in reversed(seen)]
        for row in world.rows:
            allowed = row in seen
            assert await refused(rows.get(viewer, "things", str(row.id))) is not allowed
            explained = await rows.explain(viewer, "things", str(row.id))
            assert explained.visible is allowed
            assert all(reason.startswith("allowed") for reason in explained.reasons) is allowed


@given(world=worlds())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_what_is_not_seen_can_be_neither_changed_nor_deleted(pool, rows, world):
    await store(pool, world)
    for user in world.users:
        for row in world.rows:
            if not sees(world, user, row):
                assert await refused(
                    rows.update(user, "things", str(row.id), b'{"body": "x"}', if_match=None)
                )
                assert await refused(rows.delete(user, "things", str(row.id), if_match=None))
    mine = [row.id for row in world.rows]
    assert await pool.fetchval("SELECT count(*) FROM things WHERE id = ANY($1)", mine) == len(mine)
    assert not await pool.fetchval("SELECT count(*) FROM things WHERE id = ANY($1) AND body <> ''", mine)


async def test_leaving_a_team_ends_the_sight_of_its_rows_at_once(
    rows, identities, add, titles, bob, ada, core
):
    await add(ada, title="ours", team_id=str(core.id))
    scope = Scope(resources=("things",), include_teams=(core.id,))
    grant = GrantView(uuid4(), bob.id, scope)
    assert await titles(bob) == await titles(grant) == ["ours"]
    await identities.remove_member("core", "bob")
    assert await titles(bob) == await titles(grant) == []


async def test_a_hidden_resource_and_an_unknown_one_give_the_same_error(rows, ada):
    grant = GrantView(uuid4(), ada.id, Scope(resources=("things", "secrets"), include_personal=True))

    async def error(resource: str) -> str:
        with pytest.raises(NotFound) as caught:
            await rows.list(grant, resource, {})
        return str(caught.value).replace(resource, "*")

    assert await error("plain") == await error("secrets") == await error("nothing")


async def test_an_admin_has_no_special_sight(rows, add, titles, ada, identities):
    await add(ada)
    await identities.add_user("root", admin=True)
    assert await titles(await identities.user("root")) == []


async def test_an_explanation_names_the_rule_that_hid_the_row(rows, add, ada, bob, core):
    mine, ours = await add(ada), await add(ada, team_id=str(core.id))
    grant = GrantView(
        uuid4(),
        ada.id,
        Scope(resources=("things",), include_teams="all", excluded_resources=(f"things/{ours['id']}",)),
    )
    assert (await rows.explain(grant, "things", mine["id"])).reasons[-1] == (
        "hidden: the scope does not include personal rows"
    )
    assert (await rows.explain(grant, "things", ours["id"])).reasons[
        -1
    ] == "hidden: the scope excludes this row"
    assert (await rows.explain(grant, "plain", mine["id"])).reasons == (
        "hidden: the scope does not name plain",
    )
    assert "somebody else" in (await rows.explain(bob, "things", mine["id"])).reasons[0]
    assert not (await rows.explain(bob, "things", str(uuid4()))).visible
