"""Items: each door writes a row in the same way, whatever is in it, and no page grows beyond its budget of bytes."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel, create_model

from mosaic_gateway.resources import ResourceRows, page, search
from mosaic_hookspecs.types import Resource, User

TIMES = {  # as they are stored, and as they are shown
    "2026-01-31 12:00:00.123456+00": "2026-01-31T12:00:00.123456Z",
    "2026-01-31 12:00:00.12345+00": "2026-01-31T12:00:00.123450Z",
    "2026-01-31 12:00:00.1+00": "2026-01-31T12:00:00.100000Z",
    "2026-01-31 12:00:00+00": "2026-01-31T12:00:00.000000Z",
    "2026-01-31 23:59:59.999999-02": "2026-02-01T01:59:59.999999Z",
    "0001-01-01 00:00:00.000001+00": "0001-01-01T00:00:00.000001Z",
    "1899-12-31 23:59:59.999999+00": "1899-12-31T23:59:59.999999Z",
    "9999-12-31 23:59:59.999999+00": "9999-12-31T23:59:59.999999Z",
    "12345-01-01 00:00:00.123456+00": "12345-01-01T00:00:00.123456Z",
    "infinity": None,
    "-infinity": None,
}
TEXTS = ['"', "\\", "\b\f\n\r\t\x01\x1f\x7f", "'", "{limit} $1 %s", "ä\u2028😀", "00:00+00:00", "null", ""]


def walled(pool, resource: Resource) -> ResourceRows:
    return ResourceRows(pool, [resource], lambda: [b"k" * 32], pool)


async def pages(rows, viewer, name: str, limit: int) -> list[list[dict[str, Any]]]:
    found, params = [], {"limit": str(limit), "sort": "id"}
    while True:
        answer = json.loads((await rows.list(viewer, name, params)).body)
        found.append(answer["items"])
        if answer["next_cursor"] is None:
            return found
        params["cursor"] = answer["next_cursor"]


async def test_a_time_has_six_decimals_and_z_whatever_it_is(pool, rows, add, ada):
    for stored, shown in TIMES.items():
        row = await add(ada)
        await pool.execute(
            "UPDATE things SET seen_at = $2::text::timestamptz WHERE id = $1::uuid", row["id"], stored
        )
        [item] = json.loads((await rows.list(ada, "things", {})).body)["items"]
        assert item["seen_at"] == shown, stored
        await rows.delete(ada, "things", row["id"], if_match=None)


async def test_every_door_writes_a_row_in_the_same_words(pool, rows, add, ada, core):
    for n, text in enumerate(TEXTS):
        await add(
            ada,
            **{"title": text or "x", "body": text, "tags": [text, *TEXTS], "extra": {text: [text, None, 1.5e-7]}},
            **({} if n % 2 else {"external_id": f"{n}{text}", "team_id": str(core.id)}),
            **({} if n % 2 else {"size": -(2**63), "weight": 0.1}),
            **({} if n % 3 else {"fresh": True, "day": "2026-01-31", "ref": str(uuid4()), "tiny": -1}),
        )  # fmt: skip
    listed = (await rows.list(ada, "things", {"sort": "created_at"})).body
    exported = [item async for item in rows.export(ada, "things")]
    assert listed == b'{"items":[' + b",".join(exported) + b'],"next_cursor":null}'
    items = json.loads(listed)["items"]
    assert [item["body"] for item in items] == TEXTS
    for item, text in zip(items, exported, strict=True):
        assert (await rows.get(ada, "things", item["id"])).body == text
    found = json.loads((await rows.search(ada, "things", {"q": "limit"})).body)["items"]
    assert [{name: each[name] for name in items[0]} for each in found] == [items[4]]


async def test_a_resource_may_have_more_columns_than_a_function_takes_arguments(pool, ada):
    names = [f"field_{n}" for n in range(120)]
    await pool.execute(f"CREATE TABLE wide ({', '.join(f'{name} bigint' for name in names)})")
    await pool.execute("SELECT make_resource('wide')")
    fields: dict[str, Any] = dict.fromkeys(names, (int | None, None))
    rows = walled(pool, Resource("wide", create_model("Wide", **fields), "Wide"))
    await rows.create(ada, "wide", json.dumps({name: n for n, name in enumerate(names) if n % 2}).encode())
    [item] = json.loads((await rows.list(ada, "wide", {})).body)["items"]
    assert [item[name] for name in names] == [n if n % 2 else None for n in range(120)]


class Long(BaseModel):
    number: Decimal | None = None
    words: list[str] = []
    text: str = ""
    extra: dict[str, Any] = {}


@pytest.fixture
async def long_rows(pool, monkeypatch):
    """A resource whose pages have 20,000 bytes at most."""
    monkeypatch.setattr(page, "MAX_BYTES", 20_000)
    await pool.execute(
        "CREATE TABLE long (number numeric, words text[] NOT NULL DEFAULT '{}', text text NOT NULL DEFAULT '',"
        " extra jsonb NOT NULL DEFAULT '{}'); SELECT make_resource('long')"
    )
    return walled(pool, Resource("long", Long, "Long rows"))


LONG = {  # kept in a few bytes, or compressed, and written in 4,000 or 5,000
    "a number": ("number", "10::numeric ^ 4000"),
    "a number in JSON": ("extra", "jsonb_build_object('n', 10::numeric ^ 4000)"),
    "a list of words": ("words", "ARRAY[repeat('a', 5000)]"),
    "a text": ("text", "repeat('a', 5000)"),
}


@pytest.mark.parametrize("what", LONG)
async def test_a_page_ends_before_its_budget_of_bytes_whatever_is_long(pool, long_rows, ada: User, what):
    column, value = LONG[what]
    await pool.execute(
        f"INSERT INTO long (owner_id, {column}) SELECT $1, {value} FROM generate_series(1, 10)", ada.id
    )
    found = await pages(long_rows, ada, "long", 50)
    assert [len(items) for items in found] in ([3, 3, 3, 1], [4, 4, 2])
    assert len({item["id"] for items in found for item in items}) == 10
    assert len([item async for item in long_rows.export(ada, "long")]) == 10


@pytest.mark.parametrize("text", ["repeat(chr(1), 300)", "repeat('ä', 1000) || repeat(chr(1), 1500)"])
async def test_what_json_escapes_counts_as_long_as_it_is_written(pool, long_rows, ada: User, text):
    """A control character is one byte in the table, and six in an answer."""
    await pool.execute(
        f"INSERT INTO long (owner_id, text) SELECT $1, {text} FROM generate_series(1, 20)", ada.id
    )
    params, seen = {"limit": "50", "sort": "id"}, []
    while params.get("cursor", "first") is not None:
        answer = (await long_rows.list(ada, "long", params)).body
        assert len(answer) <= 20_000 + 1000  # the cursor and what is around
        page = json.loads(answer)
        seen += [item["id"] for item in page["items"]]
        params["cursor"] = page["next_cursor"]
    assert len(seen) == len({*seen}) == 20


async def test_so_do_the_items_of_a_search(pool, rows, add, ada, monkeypatch):
    monkeypatch.setattr(search, "MAX_BYTES", 20_000)
    for _ in range(20):
        await add(ada, title="tree", body="\x01" * 300)
    answer = (await rows.search(ada, "things", {"q": "tree", "limit": "50"})).body
    assert len(answer) <= 20_000 + 1000
    assert 0 < len(json.loads(answer)["items"]) < 20


@pytest.mark.parametrize("limit", [1, 2, 5, 50, 200])
async def test_one_long_row_among_short_ones_is_on_its_page(pool, long_rows, ada: User, limit):
    """Longer than a page may be, as any of them: it is alone there, and none is lost or told twice."""
    await pool.execute("INSERT INTO long (owner_id) SELECT $1 FROM generate_series(1, 5)", ada.id)
    ids = [row["id"] for row in await pool.fetch("SELECT id::text FROM long ORDER BY long.id")]
    for long in ids:
        await pool.execute(
            "UPDATE long SET text = repeat('a', CASE id::text WHEN $1 THEN 30000 ELSE 1 END)", long
        )
        found = await pages(long_rows, ada, "long", limit)
        assert [item["id"] for items in found for item in items] == ids
        [together] = [items for items in found if long in {item["id"] for item in items}]
        assert together[0]["id"] == long
        assert all(len(items) <= limit for items in found)
