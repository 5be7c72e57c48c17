"""Create, update and delete: teams, external ids, versions, and several writers at once."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import pytest

from mosaic_hookspecs.errors import Conflict, Invalid, NotFound, PreconditionFailed

NO_ID = "7f000001-0000-4000-8000-000000000000"


@pytest.fixture
def change(rows):
    async def change(user, row, /, if_match=None, **fields):
        answer = await rows.update(user, "things", row["id"], json.dumps(fields).encode(), if_match=if_match)
        item = json.loads(answer.body)
        assert answer.version == item["version"]
        return item

    return change


async def test_a_created_row_comes_back_with_defaults_and_standard_columns(rows, ada):
    answer = await rows.create(ada, "things", b'{"title": "a"}')
    item = json.loads(answer.body)
    assert (answer.rows, answer.version) == (1, 1)
    assert list(item)[:7] == [
        "id",
        "owner_id",
        "team_id",
        "external_id",
        "created_at",
        "updated_at",
        "version",
    ]
    assert (item["owner_id"], item["team_id"], item["kind"], item["tags"]) == (str(ada.id), None, "a", [])
    assert json.loads((await rows.get(ada, "things", item["id"])).body) == item


async def test_values_of_every_kind_survive(rows, add, ada):
    given = {
        "title": 'q"\\/\u2028\U0001f600é', "body": "line\n\ttab\x7f", "kind": "b", "size": -(2**63), "weight": 1e-300,
        "fresh": False, "day": "0001-01-01", "seen_at": "9999-12-31T23:59:59.999999Z", "ref": str(uuid4()),
        "tags": ["", "a,b", "{}", 'NULL', '"'], "extra": {"a": [1, {"b": None}], "": 1.5}, "tiny": 32767,
    }  # fmt: skip
    made = await add(ada, **given)
    assert {name: made[name] for name in given} == given


async def test_a_team_row_is_everybodys_in_the_team(add, change, titles, ada, bob, core):
    row = await add(ada, title="ours", team_id=str(core.id))
    assert await titles(bob) == ["ours"]
    assert (await change(bob, row, title="bob was here"))["owner_id"] == str(ada.id)
    assert await titles(ada) == ["bob was here"]


async def test_a_strange_team_and_one_that_does_not_exist_are_refused_alike(
    add, change, titles, identities, ada, bob
):
    team = await identities.add_team("others")
    await identities.add_member("others", "bob")
    mine, errors = await add(ada), set()
    for team_id in (str(team.id), str(uuid4())):
        for attempt in (add(ada, team_id=team_id), change(ada, mine, team_id=team_id)):
            with pytest.raises(Invalid) as caught:
                await attempt
            errors.add(str(caught.value))
            assert [fault.where for fault in caught.value.faults] == ["/team_id"]
    assert len(errors) == 1
    assert await titles(bob) == []


async def test_only_its_owner_makes_a_team_row_personal(add, change, titles, ada, bob, core):
    row = await add(ada, team_id=str(core.id))
    with pytest.raises(Invalid, match="only its owner"):
        await change(bob, row, team_id=None)
    assert (await change(ada, row, team_id=None))["team_id"] is None
    assert await titles(bob) == []


async def test_an_external_id_is_taken_once_per_place(add, change, ada, bob, core):
    await add(ada, external_id="1")
    await add(bob, external_id="1")  # another owner
    await add(ada, external_id="1", team_id=str(core.id))  # a team
    with pytest.raises(Conflict, match="external_id"):
        await add(bob, external_id="1", team_id=str(core.id))
    with pytest.raises(Conflict, match="external_id"):
        await add(ada, external_id="1")
    other = await add(ada)
    with pytest.raises(Conflict, match="external_id"):
        await change(ada, other, external_id="1")
    theirs = await add(bob, external_id="2")
    with pytest.raises(Conflict, match="external_id"):
        await change(bob, theirs, external_id="1")
    ours = await add(ada, external_id="3", team_id=str(core.id))
    await add(ada, external_id="3")
    with pytest.raises(Conflict, match="external_id"):
        await change(ada, ours, team_id=None)  # it moves to where the name is taken


async def test_a_patch_changes_what_it_names_and_null_empties(add, change, ada):
    row = await add(ada, size=1, body="text", tags=["a"], extra={"a": 1, "b": 2}, external_id="e")
    item = await change(ada, row, size=None, extra={"c": 3})
    expected = row | {"size": None, "extra": {"c": 3}, "version": 2, "updated_at": item["updated_at"]}
    assert item == expected
    assert item["updated_at"] > row["updated_at"]
    assert (await change(ada, row, external_id=None))["external_id"] is None
    assert (await change(ada, row))["version"] == 4  # an empty patch is a change too


@pytest.mark.parametrize(("patch", "where"), [
    ({"title": None}, "/title"), ({"title": ""}, "/title"), ({"size": "x"}, "/size"), ({"nope": 1}, "/nope"),
    ({"version": 7}, "/version"), ({"owner_id": NO_ID}, "/owner_id"), ({"id": NO_ID}, "/id"),
    ({"tiny": 7}, ""), ({"tiny": 40000}, ""), ({"kind": None}, "/kind"), ({"team_id": "x"}, "/team_id"),
])  # fmt: skip
async def test_a_wrong_patch_changes_nothing(rows, add, change, ada, patch, where):
    row = await add(ada)
    with pytest.raises(Invalid) as caught:
        await change(ada, row, **patch)
    assert [fault.where for fault in caught.value.faults] == [where]
    assert json.loads((await rows.get(ada, "things", row["id"])).body) == row


async def test_if_match_protects_from_lost_updates(rows, add, change, ada):
    row = await add(ada)
    assert (await change(ada, row, if_match=1, title="b"))["version"] == 2
    with pytest.raises(PreconditionFailed, match="version 2"):
        await change(ada, row, if_match=1, title="c")
    with pytest.raises(PreconditionFailed):
        await rows.delete(ada, "things", row["id"], if_match=1)
    await rows.delete(ada, "things", row["id"], if_match=2)
    with pytest.raises(NotFound):
        await rows.get(ada, "things", row["id"])


async def test_of_many_writers_with_one_version_exactly_one_wins(rows, add, change, ada):
    row = await add(ada)
    attempts = [change(ada, row, if_match=1, title=f"writer {n}") for n in range(12)]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    [winner] = [item for item in results if isinstance(item, dict)]
    assert sum(isinstance(item, PreconditionFailed) for item in results) == 11
    assert json.loads((await rows.get(ada, "things", row["id"])).body) == winner


async def test_writers_of_different_fields_lose_nothing(add, change, rows, ada):
    row = await add(ada)
    fields = [{"size": 5}, {"weight": 2.5}, {"fresh": True}, {"body": "b"}, {"kind": "b"}, {"tags": ["t"]}]
    await asyncio.gather(*(change(ada, row, **each) for each in fields))
    item = json.loads((await rows.get(ada, "things", row["id"])).body)
    assert item["version"] == 7
    assert all(item[name] == value for each in fields for name, value in each.items())


@pytest.mark.parametrize("row_id", ["", "x", "\0", "\ud800", NO_ID, "0" * 32, f"{{{NO_ID}}}"])
async def test_an_id_that_names_no_row_is_not_found(rows, ada, row_id):
    for attempt in (
        rows.get(ada, "things", row_id),
        rows.update(ada, "things", row_id, b"{}", if_match=None),
        rows.delete(ada, "things", row_id, if_match=None),
    ):
        with pytest.raises(NotFound):
            await attempt


async def test_an_unknown_resource_is_not_found_at_every_door(rows, ada):
    for attempt in (
        rows.list(ada, "nope", {}),
        rows.search(ada, "nope", {"q": "x"}),
        rows.get(ada, "nope", "x"),
        rows.explain(ada, "nope", "x"),
        rows.create(ada, "nope", b"{}"),
        rows.update(ada, "nope", "x", b"{}", if_match=None),
        rows.delete(ada, "nope", "x", if_match=None),
        rows.store_many(ada, "nope", [], team_id=None, dry_run=False),
    ):
        with pytest.raises(NotFound, match="no resource 'nope'"):
            await attempt
    for attempt in (
        lambda: rows.resource("nope"),
        lambda: rows.check("nope", {}),
        lambda: rows.export(ada, "nope"),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert rows.names() == ("things", "plain", "secrets")


WAITS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


async def test_a_deadlock_with_another_change_is_a_conflict_to_try_again(rows, pool, add, ada):
    row = await add(ada, external_id="m")
    async with pool.transaction() as other:
        await other.execute("SET LOCAL deadlock_timeout = '1min'")  # the change is the one to find it
        await other.execute(
            "INSERT INTO things (owner_id, title, body, kind, tags, extra, external_id)"
            " VALUES ($1, 't', '', 'a', '{}', '{}', 'b')", ada.id,
        )  # fmt: skip
        change = asyncio.create_task(
            rows.update(ada, "things", row["id"], b'{"external_id": "b"}', if_match=None)
        )
        while not await pool.fetchval(WAITS):  # noqa: ASYNC110 - the database sets no event
            await asyncio.sleep(0.01)
        await other.execute("UPDATE things SET title = 'u' WHERE external_id = 'm'")
    with pytest.raises(Conflict, match="met another change"):
        await change
