"""Two walls around rows, each tried alone: 10,000 questions against a rule written once more in plain Python."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosaic_gateway import database
from mosaic_gateway.database import connect
from mosaic_gateway.resources import ResourceRows, visibility
from mosaic_gateway.resources.peers import AsGrant, PeerRole, as_grant, build_wall, read_role
from mosaic_hookspecs.errors import NotFound, Unavailable
from mosaic_hookspecs.scope import Scope
from mosaic_hookspecs.types import GrantView, User
from mosaic_migrations import CORE
from mosaic_migrations.runner import migrate

START = datetime(2026, 1, 1, tzinfo=UTC)
WORLDS, QUESTIONS = 50, 10_000
WORDS = ("apple", "pear", "plum")


@dataclass
class Row:
    id: UUID
    owner: UUID
    team: UUID | None
    word: str
    size: int
    created: datetime

    @property
    def values(self):
        return (self.id, self.owner, self.team, self.word, self.size, self.created)


@dataclass
class World:
    users: list[User]
    memberships: set[tuple[UUID, UUID]]  # team, user
    rows: list[Row]
    grants: list[GrantView]


def new_world(dice: Random) -> World:
    """Few users, teams and rows, so that every rule about them meets every other."""

    def uuid() -> UUID:
        return UUID(int=dice.getrandbits(128), version=4)

    def some(of: list, most: int) -> list:
        return dice.sample(of, dice.randint(0, min(most, len(of))))

    users = [User(uuid(), f"u{uuid().hex}") for _ in range(dice.randint(2, 6))]
    teams = [uuid() for _ in range(dice.randint(1, 5))]
    memberships = {(team, user.id) for team in teams for user in users if dice.random() < 0.5}
    rows = [
        Row(
            uuid(),
            dice.choice(users).id,
            dice.choice([None, *teams]),
            dice.choice(WORDS),
            dice.randint(0, 3),
            START + timedelta(seconds=dice.randint(0, 3)),  # ties on purpose
        )
        for _ in range(dice.randint(0, 30))
    ]
    grants = [GrantView(uuid(), dice.choice(users).id, a_scope(dice, some, teams, rows)) for _ in range(30)]
    return World(users, memberships, rows, grants)


def a_scope(dice: Random, some, teams, rows) -> Scope:
    personal = dice.random() < 0.6
    excluded = [f"things/{row.id}" for row in some(rows, 5)] + some(
        ["secrets", "notes", f"plain/{uuid4()}"], 2
    )
    return Scope(
        resources=dice.choice([("things",), ("plain", "things"), ("things", "secrets"), ("plain",)]),
        excluded_resources=tuple(excluded),
        include_teams=dice.choice(["all", tuple(some(teams, 5)) or (uuid4(),), () if personal else "all"]),
        include_personal=personal,
        max_rows_per_query=dice.choice([1, 3, 100]),
    )


def sees(world: World, viewer: User | GrantView, row: Row) -> bool:
    """The rule, once more: what the brief of the project says, not what any SQL says."""
    if isinstance(viewer, User):
        return row.owner == viewer.id if row.team is None else (row.team, viewer.id) in world.memberships
    scope = viewer.scope
    if "things" not in scope.resources or {"things", f"things/{row.id}"} & set(scope.excluded_resources):
        return False
    if row.team is None:
        return scope.include_personal and row.owner == viewer.subject_id
    named = scope.include_teams == "all" or row.team in scope.include_teams
    return named and (row.team, viewer.subject_id) in world.memberships


async def store(pool, world: World) -> None:
    teams = {row.team for row in world.rows if row.team} | {team for team, _ in world.memberships}
    insert = pool.executemany
    await insert(
        "INSERT INTO users (id, username) VALUES ($1, $2)", [(u.id, u.username) for u in world.users]
    )
    await insert("INSERT INTO teams (id, slug) VALUES ($1, $2)", [(team, f"t{team}") for team in teams])
    await insert("INSERT INTO memberships (team_id, user_id) VALUES ($1, $2)", list(world.memberships))
    await insert(
        "INSERT INTO things (id, owner_id, team_id, title, size, created_at, body, kind, tags, extra)"
        " VALUES ($1, $2, $3, $4, $5, $6, '', 'a', '{}', '{}')",
        [row.values for row in world.rows],
    )


class Asking:
    """Questions of a world's viewers to a door of rows, each against what the rule answers."""

    def __init__(self, world: World, dice: Random, doors: list[ResourceRows]) -> None:
        self.world, self.dice, self.doors = world, dice, doors
        self.asked = 0

    async def everybody(self, least: int) -> None:
        """Ask on until ``least`` questions are asked."""
        while self.asked < least:
            await asyncio.gather(*(self.viewer(each) for each in self.world.users + self.world.grants))

    async def viewer(self, viewer: User | GrantView) -> None:
        seen = [row for row in self.world.rows if sees(self.world, viewer, row)]
        door = self.dice.choice(self.doors)
        if isinstance(viewer, GrantView) and not viewer.scope.allows("things"):
            questions = (door.list(viewer, "things", {}), door.search(viewer, "things", {"q": "pear"}))
            for question in (*questions, door.get(viewer, "things", str(uuid4()))):
                self.asked += 1
                with pytest.raises(NotFound):
                    await question
            return
        cap = viewer.scope.max_rows_per_query if isinstance(viewer, GrantView) else 200
        await self.a_list(door, viewer, seen, cap)
        await self.a_search(door, viewer, seen, cap)
        if self.world.rows:
            await self.a_get(door, viewer, seen)

    async def a_list(self, door, viewer, seen, cap) -> None:
        """All pages of a list with a filter and an order."""
        params, wanted = self.a_query(seen)
        found: list[UUID] = []
        while params.get("cursor", "") is not None:
            self.asked += 1
            answer = await door.list(viewer, "things", params)
            assert answer.rows <= min(cap, int(params["limit"]))
            page = json.loads(answer.body)
            found += [UUID(item["id"]) for item in page["items"]]
            assert len(found) <= len(wanted)
            params["cursor"] = page["next_cursor"]
        assert found == [row.id for row in wanted]

    def a_query(self, seen: list[Row]) -> tuple[dict[str, str], list[Row]]:
        words, size = {self.dice.choice(WORDS), "apple"}, self.dice.randint(0, 3)
        params, keeps = self.dice.choice(
            [
                ({}, lambda _: True),
                ({"title": "pear"}, lambda row: row.word == "pear"),
                ({"size.gte": str(size)}, lambda row: row.size >= size),
                ({"title.in": ",".join(words), "size": "1"}, lambda row: row.word in words and row.size == 1),
            ]
        )
        sort, key = self.dice.choice(
            [
                ("-created_at", lambda row: (row.created, row.id.int)),
                ("title", lambda row: (row.word, row.id.int)),
                ("-size", lambda row: (row.size, row.id.int)),
            ]
        )
        wanted = sorted((row for row in seen if keeps(row)), key=key, reverse=sort.startswith("-"))
        return params | {"sort": sort, "limit": str(self.dice.choice([2, 7, 200]))}, wanted

    async def a_search(self, door, viewer, seen, cap) -> None:
        self.asked += 1
        word = self.dice.choice(WORDS)
        answer = await door.search(viewer, "things", {"q": word})
        wanted = [row for row in seen if row.word == word]
        wanted.sort(key=lambda row: (row.created, row.id.int), reverse=True)
        assert ids(answer.body) == [row.id for row in wanted][:cap]

    async def a_get(self, door, viewer, seen) -> None:
        self.asked += 1
        row = self.dice.choice(self.world.rows)
        try:
            answer = await door.get(viewer, "things", str(row.id))
        except NotFound:
            assert row not in seen
        else:
            assert row in seen
            assert UUID(json.loads(answer.body)["id"]) == row.id


def ids(body: bytes) -> list[UUID]:
    return [UUID(item["id"]) for item in json.loads(body)["items"]]


many_worlds = given(seed=st.integers(0, 2**64))
repeated = settings(
    max_examples=WORLDS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@many_worlds
@repeated
async def test_the_first_wall_alone_and_both_show_exactly_what_the_rule_allows(
    pool, rows, both, record, seed
):
    """In ten thousand questions: lists, filters, orders, pages, searches and single rows, of users and grants."""
    world = new_world(dice := Random(seed))
    await store(pool, world)
    await record(*world.grants)
    await Asking(world, dice, [rows, both]).everybody(QUESTIONS // WORLDS)


@many_worlds
@repeated
async def test_the_second_wall_alone_shows_exactly_what_the_rule_allows(pool, peers, record, seed):
    """To statements that ask for everything, as if the first were broken."""
    world = new_world(Random(seed))
    await store(pool, world)
    await record(*world.grants)
    for grant in world.grants:
        found = await AsGrant(peers, grant.grant_id).fetch("SELECT r.id FROM things r")
        assert {row["id"] for row in found} == {row.id for row in world.rows if sees(world, grant, row)}
        teams = await AsGrant(peers, grant.grant_id).fetch("SELECT m.team_id FROM memberships m")
        assert {row["team_id"] for row in teams} == {
            t for t, user in world.memberships if user == grant.subject_id
        }


async def test_a_grant_that_withholds_nothing_shows_what_one_does_that_withholds_rows_of_nobody(
    pool, peers, record
):
    """The policy has a short way for the one, and a long way for the other."""
    world, shown = new_world(Random(11)), 0
    await store(pool, world)
    for grant in world.grants:
        if not {"things"} & set(grant.scope.resources):
            continue
        seen = []
        for excluded in ((), (f"things/{uuid4()}",), (f"plain/{world.rows[0].id}",)):
            scope = grant.scope.model_copy(update={"excluded_resources": excluded})
            each = replace(grant, grant_id=uuid4(), scope=scope)
            await record(each)
            found = await AsGrant(peers, each.grant_id).fetch("SELECT r.id FROM things r")
            seen.append({row["id"] for row in found})
        assert seen == [{row.id for row in world.rows if sees(world, each, row)}] * 3
        shown += len(found)
    assert shown > 0


def everything(_viewer, _resource, alias, _params) -> visibility.Sight:
    return visibility.Sight(
        alias, "true", "SELECT t.team_id FROM things t WHERE t.team_id IS NOT NULL", "true", None
    )


async def test_without_the_first_wall_every_door_still_shows_the_grants_rows_only(
    pool, rows, both, record, monkeypatch
):
    world = new_world(Random(5))
    await store(pool, world)
    await record(*world.grants)
    monkeypatch.setattr("mosaic_gateway.resources.read.visible", everything)
    total = 0
    for grant in world.grants:
        seen = {row.id for row in world.rows if sees(world, grant, row)}
        total += len(seen)
        cap = grant.scope.max_rows_per_query
        listed = ids((await both.list(grant, "things", {})).body)
        assert set(listed) <= seen
        assert len(set(listed)) >= min(cap, len(seen), 1)
        assert set(ids((await both.search(grant, "things", {"q": "pear"})).body)) <= seen
        assert {UUID(json.loads(item)["id"]) async for item in both.export(grant, "things")} == seen
        for row in world.rows:
            shown = await is_answered(both.get(grant, "things", str(row.id)))
            assert shown is (row.id in seen)
    assert total > 0
    # The same questions to the owner's connections, without the wall: it is the wall that held.
    assert len(ids((await rows.list(world.grants[0], "things", {})).body)) > 0


async def is_answered(question) -> bool:
    """Whether there was an answer."""
    try:
        await question
    except NotFound:
        return False
    return True


@pytest.fixture
async def one(pool, peers, record, ada, add):
    """A row of ada's, and a grant that shows it."""
    row = await add(ada, title="hers")
    grant = GrantView(uuid4(), ada.id, Scope(resources=("things",), include_personal=True))
    await record(grant)
    assert [each["id"] for each in await AsGrant(peers, grant.grant_id).fetch("SELECT id FROM things")] == [
        UUID(row["id"])
    ]
    return row, grant


@pytest.mark.parametrize("grant_id", ["", "0", str(UUID(int=0)), None])
async def test_a_statement_of_no_grant_sees_nothing(one, peers, grant_id):
    statement = as_grant("SELECT id FROM things", 1)
    if grant_id == "0":
        with pytest.raises(asyncpg.DataError):
            await peers.fetch(statement, grant_id)
    else:
        assert await peers.fetch(statement, grant_id) == []


async def test_an_identity_ends_with_its_statement(one, peers):
    """Of many on the same connections: a plain statement after them has none."""
    _, grant = one
    await asyncio.gather(*(AsGrant(peers, grant.grant_id).fetch("SELECT id FROM things") for _ in range(40)))
    for _ in range(20):
        assert await peers.fetch("SELECT id FROM things") == []


async def test_the_role_reads_nothing_but_shared_resources(one, peers, pool):
    for table in ("users", "teams", "api_tokens", "secrets", "grants_on_record", "migrations"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await peers.fetch(f"SELECT 1 FROM {table}")
    tables = await pool.fetch(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'mosaic'::regnamespace AND relkind IN ('r', 'v')"
        " AND has_any_column_privilege('mosaic_peer', oid, 'SELECT')"
    )
    assert {row["relname"] for row in tables} == {"things", "plain", "memberships"}


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO plain (title, owner_id) VALUES ('x', gen_random_uuid())",
        "UPDATE things SET title = 'x'",
        "DELETE FROM things",
        "TRUNCATE things",
        "DROP POLICY peers ON things",
        "ALTER TABLE things DISABLE ROW LEVEL SECURITY",
        "CREATE TABLE mosaic.mine (id int)",
        "SELECT granted(gen_random_uuid())",
        "SELECT granted_plainly('things')",
        "SELECT m.role FROM memberships m",
    ],
)
async def test_the_role_changes_nothing(one, peers, statement):
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await peers.execute(statement)


async def test_reset_role_does_not_leave_the_wall(one, peers):
    await peers.execute("RESET ROLE")
    assert await peers.fetchval("SELECT current_user") == "mosaic_peer"


@pytest.mark.parametrize(
    "change",
    [
        {"future_rule": True},
        {"resources": "things"},
        {"resources": {"things": 1}},
        {"excluded_resources": "plain"},
        {"excluded_resources": None},
        {"excluded_resources": [["things"]]},
        {"excluded_resources": ["things/x"]},
        {"include_personal": "true"},
        {"include_personal": 1},
        {"include_personal": None},
    ],
)
async def test_a_scope_that_is_not_understood_shows_nothing(one, peers, pool, change):
    _, grant = one
    scope = json.loads(grant.scope.model_dump_json()) | change
    await pool.execute("UPDATE grants_on_record SET scope = $1::text::jsonb", json.dumps(scope))
    assert await AsGrant(peers, grant.grant_id).fetch("SELECT id FROM things") == []


@pytest.mark.parametrize("teams", ['"ALL"', '{"all": 1}', "null", "true", '[["all"]]', '"some"'])
async def test_teams_that_are_not_understood_show_no_team(one, peers, pool, add, ada, core, teams):
    row, grant = one
    await add(ada, team_id=str(core.id))
    await pool.execute(
        "UPDATE grants_on_record SET scope = jsonb_set(scope, '{include_teams}', $1::text::jsonb)", teams
    )
    found = await AsGrant(peers, grant.grant_id).fetch("SELECT id FROM things")
    assert [each["id"] for each in found] == [UUID(row["id"])]


async def test_where_nobody_keeps_grants_nothing_is_shown(pool, peers, one):
    _, grant = one
    await pool.execute(
        "CREATE OR REPLACE FUNCTION granted(grant_id uuid) RETURNS TABLE (subject uuid, scope jsonb)"
        " LANGUAGE sql STABLE AS 'SELECT NULL::uuid, NULL::jsonb WHERE false'"
    )
    assert await AsGrant(peers, grant.grant_id).fetch("SELECT id FROM things") == []


async def test_a_table_without_its_policy_shows_nothing_and_is_mended_at_the_next_start(
    one, pool, peers, resources
):
    _, grant = one
    await pool.execute("DROP POLICY peers ON things")
    assert await AsGrant(peers, grant.grant_id).fetch("SELECT id FROM things") == []
    assert not (await read_role(pool, resources)).complete
    async with pool.transaction() as sql:
        await build_wall(sql._target, resources)
    assert len(await AsGrant(peers, grant.grant_id).fetch("SELECT id FROM things")) == 1


async def test_the_wall_of_the_release_before_holds_and_is_built_anew_at_the_next_start(
    one, pool, peers, resources
):
    _, grant = one
    await pool.execute("REVOKE EXECUTE ON FUNCTION peer_personal(text), peer_teams(text) FROM mosaic_peer")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await AsGrant(peers, grant.grant_id).fetch("SELECT id FROM things")
    await pool.execute(
        "DROP POLICY peers ON things; CREATE POLICY peers ON things FOR SELECT USING (EXISTS ("
        "SELECT FROM peer_reach('things') p WHERE things.owner_id = p.personal AND things.id <> ALL (p.withheld)))"
    )
    assert len(await AsGrant(peers, grant.grant_id).fetch("SELECT id FROM things")) == 1
    assert not (await read_role(pool, resources)).complete
    async with pool.transaction() as sql:
        assert (await build_wall(sql._target, resources)).complete
    assert "peer_personal" in await pool.fetchval("SELECT qual FROM pg_policies WHERE tablename = 'things'")
    assert len(await AsGrant(peers, grant.grant_id).fetch("SELECT id FROM things")) == 1


async def test_a_resource_that_is_no_longer_shared_is_closed_at_the_next_start(one, pool, peers, resources):
    _, grant = one
    async with pool.transaction() as sql:
        await build_wall(sql._target, [each for each in resources if each.name != "things"])
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await AsGrant(peers, grant.grant_id).fetch("SELECT id FROM things")


async def test_without_the_second_wall_no_grant_is_answered(pool, one, resources):
    _, grant = one
    rows = ResourceRows(pool, resources, lambda: [b"k" * 32])
    for question in (lambda: rows.list(grant, "things", {}), lambda: rows.get(grant, "things", str(uuid4()))):
        with pytest.raises(Unavailable, match="answers no peers"):
            await question()


async def test_an_owner_that_may_make_no_role_gets_no_wall_until_it_is_given_one(postgres, resources):
    async def sees_role(statement: str = "SELECT 1") -> PeerRole:
        administration = await connect(replace(postgres, database="plain_owner"))
        await administration.execute(statement)
        await administration.close()
        owner = await connect(replace(postgres, user="plain", database="plain_owner"))
        try:
            await migrate(owner, [CORE])
            return await build_wall(owner, resources)
        finally:
            await owner.close()

    administration = await connect(postgres)
    for statement in ("CREATE ROLE plain LOGIN", "CREATE DATABASE plain_owner OWNER plain"):
        await administration.execute(statement)
    try:
        role = await sees_role()
        assert (role.name, role.usable, role.complete, role.may_create) == ("plain_peer", False, False, False)
        assert not (await sees_role("CREATE ROLE plain_peer NOLOGIN")).usable
        assert not (await sees_role("ALTER ROLE plain_peer BYPASSRLS; GRANT plain_peer TO plain")).usable
        assert (await sees_role("ALTER ROLE plain_peer NOBYPASSRLS")).complete
        assert (
            await sees_role("ALTER ROLE plain CREATEROLE; DROP OWNED BY plain_peer; DROP ROLE plain_peer")
        ).complete
    finally:
        await administration.execute("DROP DATABASE plain_owner WITH (FORCE)")
        await administration.execute("DROP ROLE plain_peer")
        await administration.execute("DROP ROLE plain")
        await administration.close()


async def test_many_starts_at_once_build_one_wall(pool, postgres, resources):
    """Processes of one gateway, each with a connection of its own."""
    location = replace(postgres, database=await pool.fetchval("SELECT current_database()"))

    async def start() -> bool:
        connection = await connect(location)
        try:
            return (await build_wall(connection, resources)).complete
        finally:
            await connection.close()

    assert all(await asyncio.gather(*(start() for _ in range(6))))


async def test_a_statement_of_a_peer_is_ended_when_it_takes_too_long(
    postgres, pool, behind_wall, monkeypatch
):
    monkeypatch.setattr(database, "PEER_TIMEOUT", 0.5)
    async with behind_wall([]) as peers:
        grant = AsGrant(peers, uuid4())
        for ask in (grant.fetch, grant.fetchrow):
            with pytest.raises(Unavailable, match="took longer"):
                await ask("SELECT pg_sleep(60)")
        assert (await grant.fetchrow("SELECT 1 AS one"))["one"] == 1
