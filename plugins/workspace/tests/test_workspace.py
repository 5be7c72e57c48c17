"""Tasks and notes on a real database: what fits, what does not, and what is found again."""

from __future__ import annotations

import json

import pytest

from mosaic_gateway.identity import Identities
from mosaic_gateway.resources import ResourceRows
from mosaic_hookspecs.errors import Invalid
from mosaic_migrations import CORE
from mosaic_workspace import plugin

MEGABYTES = 1_000_000


@pytest.fixture
def migration_sets():
    return [CORE, *(one for one in plugin.mosaic_migrations() if not one.needs_vector)]


@pytest.fixture
def rows(pool):
    return ResourceRows(pool, plugin.mosaic_resources(), lambda: [b"k" * 32])


@pytest.fixture
async def ada(pool):
    identities = Identities(pool)
    await identities.add_user("ada")
    return await identities.user("ada")


@pytest.fixture
def add(rows, ada):
    async def add(resource, **fields):
        return json.loads((await rows.create(ada, resource, json.dumps(fields).encode())).body)

    return add


async def test_a_task_starts_open_with_nothing_else_said(add):
    task = await add("tasks", title="Water the plants")
    fields = ("title", "body", "status", "priority", "due_at", "completed_at", "tags")
    assert [task[name] for name in fields] == ["Water the plants", "", "open", None, None, None, []]


async def test_a_task_keeps_all_it_was_given(add):
    given = {
        "title": "t", "body": "b", "status": "done", "priority": 9, "due_at": "2026-01-01T00:00:00.000000Z",
        "completed_at": "2026-01-02T00:00:00.000000Z", "tags": ["home", "garden"],
    }  # fmt: skip
    task = await add("tasks", **given)
    assert {name: task[name] for name in given} == given


@pytest.mark.parametrize(("resource", "fields", "where"), [
    ("tasks", {"title": ""}, "/title"), ("tasks", {"title": "x" * 501}, "/title"), ("tasks", {}, "/title"),
    ("tasks", {"title": "t", "status": "waiting"}, "/status"), ("tasks", {"title": "t", "priority": 10}, "/priority"),
    ("tasks", {"title": "t", "priority": -1}, "/priority"), ("tasks", {"title": "t", "body": "x" * 100_001}, "/body"),
    ("tasks", {"title": "t", "due_at": "2026-01-01T00:00:00"}, "/due_at"),
    ("notes", {"title": "t", "tags": [""]}, "/tags/0"), ("notes", {"title": "t", "tags": ["x"] * 51}, "/tags"),
    ("notes", {"title": "t", "tags": ["x" * 101]}, "/tags/0"), ("notes", {"title": "t", "status": "open"}, "/status"),
    ("notes", {"title": "t", "body": "x" * (10 * MEGABYTES + 1)}, "/body"),
])  # fmt: skip
async def test_what_does_not_fit_is_refused_at_its_place(add, resource, fields, where):
    with pytest.raises(Invalid) as caught:
        await add(resource, **fields)
    assert [fault.where for fault in caught.value.faults] == [where]


@pytest.mark.parametrize("text", [
    "many different words " * (10 * MEGABYTES // 21),
    " ".join(f"word{n}" for n in range(900_000)),
    "x" * 10 * MEGABYTES,  # one word
    " ".join(chr(0x20000 + n) for n in range(40_000)) + " " + "-".join(chr(0x20000 + n) for n in range(40_000)),
    "-".join(chr(0x20000 + n) + chr(0x20100 + n) for n in range(40_000)),
    " ".join(f"a{n}.example/{n}/path" for n in range(50_000)),
])  # fmt: skip
async def test_a_note_of_any_text_up_to_ten_megabytes_is_kept_whole(add, rows, ada, text):
    note = await add("notes", title="long", body=text)
    assert note["body"] == text
    assert json.loads((await rows.search(ada, "notes", {"q": "long"})).body)["items"][0]["id"] == note["id"]


async def test_notes_are_found_by_title_and_text_and_tag(add, rows, ada):
    await add("notes", title="Gardening", body="Roses need water.", tags=["home"])
    await add("notes", title="Cooking", body="Boil the water.", tags=["home", "food"])

    async def titles(answer):
        return {item["title"] for item in json.loads((await answer).body)["items"]}

    assert await titles(rows.search(ada, "notes", {"q": "rose"})) == {"Gardening"}
    assert await titles(rows.search(ada, "notes", {"q": "waters"})) == {"Gardening", "Cooking"}
    assert await titles(rows.list(ada, "notes", {"tags": "food"})) == {"Cooking"}


def test_every_field_is_described():
    for resource in plugin.mosaic_resources():
        properties = resource.model.model_json_schema()["properties"]
        assert all(each.get("description") for each in properties.values())


async def test_pages_of_huge_notes_end_early_and_lose_none(add, rows, ada):
    made = [(await add("notes", title=str(n), body="huge " * 1_400_000))["id"] for n in range(5)]
    walked, sizes, params = [], [], {"sort": "created_at", "limit": "200"}
    while True:
        answer = await rows.list(ada, "notes", params)
        page = json.loads(answer.body)
        assert answer.rows == len(page["items"])
        walked += [item["id"] for item in page["items"]]
        sizes.append(len(answer.body))
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert walked == made
    assert max(sizes) < 20 * MEGABYTES
    assert [json.loads(item)["id"] async for item in rows.export(ada, "notes")] == made
    assert (await rows.search(ada, "notes", {"q": "huge"})).rows == 2
