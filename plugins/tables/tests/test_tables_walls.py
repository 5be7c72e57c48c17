"""Grants see of a shared table what they see of any resource, through either wall alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from mosaic_gateway.resources.peers import AsGrant, read_role
from mosaic_gateway.resources.visibility import Sight
from mosaic_hookspecs.errors import NotFound

ALL = "SELECT r.external_id AS key FROM orders r"


def peers_of(rows):
    return rows._peers


def as_grant(rows, view):
    return AsGrant(peers_of(rows), view.grant_id)


async def seen(reads) -> set[str]:
    return {row["key"] for row in await reads.fetch(ALL)}


async def test_a_grant_shows_what_its_scope_says(share, grant, keys, lead, pool):
    rows = await share()
    team = await pool.fetchval("SELECT id FROM teams")
    assert await keys(rows, await grant()) == ["A-2", "A-1"]
    assert await keys(rows, await grant(include_teams="all")) == ["A-3", "A-2", "A-1"]
    assert await keys(rows, await grant(include_teams=(team,), include_personal=False)) == ["A-3"]
    assert await keys(rows, await grant(max_rows_per_query=1)) == ["A-2", "A-1"]
    with pytest.raises(NotFound):
        await keys(rows, await grant(resources=("tasks",)))


async def test_exclusions_and_a_list_of_columns_hold(share, grant, keys, id_of):
    rows = await share()
    without = await grant(excluded_resources=(f"orders/{id_of('A-1')}",))
    assert await keys(rows, without) == ["A-2"]
    with pytest.raises(NotFound):
        await rows.get(without, "orders", id_of("A-1"))
    narrow = await grant(fields={"orders": ("id", "title")})
    item = json.loads((await rows.get(narrow, "orders", id_of("A-1"))).body)
    assert item == {"id": id_of("A-1"), "title": "Ten chairs"}
    assert (await rows.search(narrow, "orders", {"q": "chairs"})).rows == 1
    assert (await rows.search(narrow, "orders", {"q": "meeting"})).rows == 0  # of a column that is not shown


async def test_search_stays_within_the_grant(share, grant):
    rows = await share()
    for view, wanted in (
        (await grant(), {"A-1"}),
        (await grant(include_teams="all", include_personal=False), set()),
    ):
        found = json.loads((await rows.search(view, "orders", {"q": "chairs"})).body)["items"]
        assert {item["external_id"] for item in found} == wanted
    german = await rows.search(await grant(include_teams="all"), "orders", {"q": "six", "lang": "german"})
    assert [item["external_id"] for item in json.loads(german.body)["items"]] == ["A-3"]


async def test_the_second_wall_alone_shows_the_same(share, grant, id_of, pool):
    """To statements that ask for everything, as if the first were broken."""
    rows = await share()
    team = await pool.fetchval("SELECT id FROM teams")
    for scope, wanted in (
        ({}, {"A-1", "A-2"}),
        ({"include_teams": "all"}, {"A-1", "A-2", "A-3"}),
        ({"include_teams": (team,), "include_personal": False}, {"A-3"}),
        ({"include_teams": (uuid4(),), "include_personal": False}, set()),
        ({"excluded_resources": (f"orders/{id_of('A-2')}",)}, {"A-1"}),
        ({"excluded_resources": ("orders",), "resources": ("tasks", "orders")}, set()),
        ({"resources": ("tasks",)}, set()),
    ):
        assert await seen(as_grant(rows, await grant(**scope))) == wanted, scope


async def test_without_the_first_wall_every_door_still_shows_the_grants_rows_only(
    share, grant, keys, id_of, monkeypatch
):
    rows = await share()
    everything = Sight(
        "r", "true", "SELECT t.id AS team_id FROM (SELECT r.team_id AS id FROM orders r) t", "true", None
    )
    monkeypatch.setattr("mosaic_gateway.resources.read.visible", lambda *_: everything)
    view = await grant(excluded_resources=(f"orders/{id_of('A-2')}",))
    assert set(await keys(rows, view)) == {"A-1"}
    found = json.loads((await rows.search(view, "orders", {"q": "chairs"})).body)["items"]
    assert {item["external_id"] for item in found} == {"A-1"}
    for key in ("A-2", "A-3", "B-1"):
        with pytest.raises(NotFound):
            await rows.get(view, "orders", id_of(key))


async def test_without_the_second_wall_every_door_still_shows_the_grants_rows_only(
    share, grant, keys, id_of, pool
):
    """Answered as the tables' owner, to whom the view shows everything."""
    rows = await share()
    rows._peers = pool
    team = await pool.fetchval("SELECT id FROM teams")
    for scope, wanted in (
        ({}, {"A-1", "A-2"}),
        ({"include_teams": (team,), "include_personal": False}, {"A-3"}),
        ({"include_teams": (uuid4(),), "include_personal": False}, set()),
        ({"excluded_resources": (f"orders/{id_of('A-2')}",)}, {"A-1"}),
    ):
        view = await grant(**scope)
        assert set(await keys(rows, view)) == wanted, scope
        found = json.loads((await rows.search(view, "orders", {"q": "chairs OR lamp OR desks"})).body)[
            "items"
        ]
        assert {item["external_id"] for item in found} == wanted, scope
        for key in {"A-1", "A-2", "A-3", "B-1"} - wanted:
            with pytest.raises(NotFound):
                await rows.get(view, "orders", id_of(key))


async def test_no_grant_and_an_unknown_one_see_nothing(share, grant):
    rows = await share()
    peers = peers_of(rows)
    assert await peers.fetch(ALL) == []
    assert await seen(AsGrant(peers, uuid4())) == set()
    assert await seen(as_grant(rows, await grant())) == {"A-1", "A-2"}
    assert await peers.fetch(ALL) == []  # an identity ends with its statement


async def test_a_condition_from_outside_is_tried_on_no_other_row(share, grant, pool):
    """A function that tells what it is given hears of the grant's rows alone: the view is a security barrier."""
    rows = await share()
    await pool.execute(
        "CREATE FUNCTION public.tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS"
        " $$BEGIN RAISE EXCEPTION '%', $1 USING ERRCODE = 'ZZ001'; END$$"
    )
    view = await grant()
    with pytest.raises(asyncpg.PostgresError) as told:
        await as_grant(rows, view).fetch(f"{ALL} WHERE tell(r.title)")
    assert told.value.args[0] in {"Ten chairs", "A lamp"}
    await pool.execute("DELETE FROM sales.orders WHERE order_no IN ('A-1', 'A-2')")
    assert await as_grant(rows, view).fetch(f"{ALL} WHERE tell(r.title)") == []


async def test_the_peers_role_reaches_nothing_but_the_view(share):
    peers = peers_of(await share())
    for statement in (
        "SELECT 1 FROM sales.orders",
        "SELECT 1 FROM users",
        "UPDATE orders SET title = 'x'",
        "DELETE FROM orders",
        "DROP VIEW orders",
        "SELECT make_view('orders', 'SELECT 1')",
        "SELECT drop_views('{}')",
    ):
        refused = (asyncpg.InsufficientPrivilegeError, asyncpg.ObjectNotInPrerequisiteStateError)
        with pytest.raises(refused):  # the latter: no view of two tables can be written to
            await peers.execute(statement)


async def test_another_role_that_may_read_the_view_sees_nothing(share, pool):
    await share()
    role = f"reader_{uuid4().hex}"
    async with pool.transaction() as sql:
        await sql.execute(f"CREATE ROLE {role}; GRANT USAGE ON SCHEMA mosaic TO {role}")
        await sql.execute(
            f"GRANT SELECT ON orders TO {role}; GRANT EXECUTE ON FUNCTION peer_reach(text) TO {role}"
        )
        await sql.execute(f"SET LOCAL ROLE {role}")
        assert await sql.fetch(ALL) == []
        await sql.execute("RESET ROLE")
        await sql.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_a_view_that_nobody_walled_in_is_no_part_of_the_wall(share, pool):
    """Put in the place of the one that was made: no peer is answered at all then."""
    resources = [(await share()).resource("orders")]
    await pool.execute("DROP VIEW orders; CREATE VIEW orders AS SELECT * FROM sales.orders")
    await pool.execute("GRANT SELECT ON orders TO mosaic_peer")
    assert not (await read_role(pool, resources)).complete


async def test_what_is_not_federable_is_for_users_alone(share, grant, lead, keys, orders):
    rows = await share(orders=orders(federable=False))
    assert await keys(rows, lead) == ["A-3", "A-2", "A-1"]
    with pytest.raises(NotFound):
        await keys(rows, await grant())
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await peers_of(rows).fetch(ALL)


async def test_an_ended_scope_shows_nothing(share, grant, keys):
    rows = await share()
    ended = await grant(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(NotFound):
        await keys(rows, ended)


async def test_ids_are_uuids_of_version_8(share, lead):
    rows = await share()
    for item in json.loads((await rows.list(lead, "orders", {})).body)["items"]:
        assert (UUID(item["id"]).version, UUID(item["id"]).variant) == (8, "specified in RFC 4122")
