"""Rows of a table that is there already: read like those of any resource, by their owners, and never written."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from mosaic_gateway.http.openapi.resources import resource_paths, resource_schemas
from mosaic_hookspecs.errors import NotFound, ReadOnly


async def test_each_user_sees_their_own_rows_and_those_of_their_teams(share, lead, client, keys):
    rows = await share()
    assert await keys(rows, lead) == ["A-3", "A-2", "A-1"]
    assert await keys(rows, client) == ["B-1"]


async def test_an_item_has_the_standard_columns_and_the_shared_ones_alone(share, lead, id_of):
    rows = await share()
    answer = await rows.get(lead, "orders", id_of("A-1"))
    item = json.loads(answer.body)
    assert item.pop("version") == answer.version
    assert item == {
        "id": id_of("A-1"),
        "owner_id": str(lead.id),
        "team_id": None,
        "external_id": "A-1",
        "created_at": "2026-01-01T10:00:00.000000Z",
        "title": "Ten chairs",
        "notes": "for the meeting room",
        "amount": 499.90,
        "paid": False,
    }
    assert b"4111" not in answer.body


async def test_rows_of_others_and_of_nobody_are_absent(share, lead, id_of):
    rows = await share()
    for key in ("B-1", "C-1", "C-2", "C-3", "C-4", "absent"):
        with pytest.raises(NotFound):
            await rows.get(lead, "orders", id_of(key))


async def test_search_filters_sort_pages_and_export(share, lead, keys):
    rows = await share()
    found = json.loads((await rows.search(lead, "orders", {"q": "chair"})).body)["items"]
    assert [item["external_id"] for item in found] == ["A-1"]
    lit = json.loads((await rows.search(lead, "orders", {"q": "desk*", "highlight": "true"})).body)["items"]
    assert [item["highlights"]["title"] for item in lit] == ["Oak \x02desks\x03"]
    german = await rows.search(lead, "orders", {"q": "six", "lang": "german"})
    assert german.rows == 1
    assert await keys(rows, lead, **{"amount.lt": "20"}) == ["A-2"]
    assert await keys(rows, lead, amount="19.99") == ["A-2"]
    assert await keys(rows, lead, **{"notes.null": "true"}) == ["A-2"]
    assert await keys(rows, lead, sort="amount", limit="1") == ["A-2", "A-1", "A-3"]
    assert await keys(rows, lead, sort="-title", limit="2") == ["A-1", "A-3", "A-2"]
    exported = [json.loads(item)["external_id"] async for item in rows.export(lead, "orders")]
    assert exported == ["A-1", "A-2", "A-3"]


async def test_numbers_are_compared_exactly_from_page_to_page(share, lead, pool, keys):
    """As floating-point numbers these are the same."""
    await pool.execute("ALTER TABLE sales.orders ALTER amount TYPE numeric")
    await pool.execute(
        "INSERT INTO sales.orders (order_no, account, title, amount)"
        " SELECT 'N-' || n, 'lead', 'exact', 9007199254740993.1 + n * 0.01 FROM generate_series(1, 5) n"
    )
    rows = await share()
    found = await keys(rows, lead, sort="amount", limit="1", title="exact")
    assert found == [f"N-{n}" for n in range(1, 6)]


async def test_the_version_changes_with_the_content(share, lead, pool, id_of):
    rows = await share()
    before = await rows.get(lead, "orders", id_of("A-1"))
    assert (await rows.get(lead, "orders", id_of("A-1"))).version == before.version
    await pool.execute("UPDATE sales.orders SET card_number = 'changed'")
    assert (await rows.get(lead, "orders", id_of("A-1"))).version == before.version
    await pool.execute("UPDATE sales.orders SET paid = true")
    after = await rows.get(lead, "orders", id_of("A-1"))
    assert json.loads(after.body)["paid"] is True
    assert after.version != before.version


async def test_nothing_is_written(share, lead, pool, id_of):
    rows = await share()
    before = await pool.fetch("SELECT * FROM sales.orders ORDER BY order_no")
    for attempt in (
        lambda: rows.create(lead, "orders", b'{"title": "x", "paid": true}'),
        lambda: rows.update(lead, "orders", id_of("A-1"), b'{"title": "x"}', if_match=None),
        lambda: rows.delete(lead, "orders", id_of("A-1"), if_match=None),
        lambda: rows.store_many(lead, "orders", [{"title": "x"}], team_id=None, dry_run=False),
    ):
        with pytest.raises(ReadOnly, match="only read here") as refusal:
            await attempt()
        assert refusal.value.headers["Allow"] == "GET, HEAD, OPTIONS"
    with pytest.raises(ReadOnly):  # as an import asks first
        rows.check("orders", {"title": "x"})
    assert await pool.fetch("SELECT * FROM sales.orders ORDER BY order_no") == before


async def test_without_a_time_lists_go_by_id_and_say_nothing_of_one(share, lead, keys, orders, id_of):
    rows = await share(orders=orders(created_at=None))
    assert await keys(rows, lead) == sorted(["A-1", "A-2", "A-3"], key=id_of)
    assert "created_at" not in json.loads((await rows.get(lead, "orders", id_of("A-1"))).body)
    found = json.loads((await rows.search(lead, "orders", {"q": "chair"})).body)["items"]
    assert len(found) == 1


async def test_the_document_has_the_types_of_the_catalogue_and_no_write(share, lead):
    resource = (await share()).resource("orders")
    item = resource_schemas(resource)["orders.item"]["properties"]
    assert "updated_at" not in item
    assert item["title"]["maxLength"] == 200
    assert item["amount"]["anyOf"] == [{"type": "number", "format": "decimal"}, {"type": "null"}]
    assert item["paid"]["type"] == "boolean"
    paths = resource_paths(resource, ("text",), ())
    assert {path: sorted({*operations} - {"parameters"}) for path, operations in paths.items()} == {
        "/v1/orders": ["get"],
        "/v1/orders/search": ["get"],
        "/v1/orders/{id}": ["get"],
    }
    assert set(resource_schemas(resource)) == {"orders.item", "orders.page", "orders.found"}


OF_EVERY_TYPE = '''
CREATE TYPE sales.mood AS ENUM ('glad', 'sad');
CREATE DOMAIN sales.short AS varchar(20);
CREATE TABLE sales."Odd ""Things""" (
    "Key" bigint PRIMARY KEY, who uuid, "Text ""x""" text, label sales.mood, small smallint, big bigint, exact numeric,
    "real" real, flag boolean, ref uuid, day date, at timestamptz, local timestamp, tags text[], words varchar(5)[],
    doc jsonb, old json, brief sales.short, fixed char(5)
);
'''


async def test_every_type_that_can_be_shared_is_filtered_sorted_and_read(share, lead, pool, id_of):
    await pool.execute(OF_EVERY_TYPE)
    ref = "0b6e0f5e-3f0e-4a7e-8f5a-6d2f1f0f9a11"
    await pool.execute(
        'INSERT INTO sales."Odd ""Things""" VALUES '
        "(1, $1, 'a text', 'sad', 1, 9007199254740993, 0.1, 0.1, true, $2, '2026-02-03',"
        " '2026-02-03T04:05:06Z', '2026-02-03T04:05:06', '{a,b}', '{c}', '{\"x\": 1}', '{\"y\": 2}', 'short', 'ab'),"
        f" (2, $1{', NULL' * 17})",
        lead.id,
        UUID(ref),
    )
    columns = {"text": 'Text "x"'} | {
        name: name
        for name in (
            *("label", "small", "big", "exact", "real", "flag", "ref", "day", "at", "local", "tags", "words"),
            *("doc", "old", "brief", "fixed"),
        )
    }
    odd = {
        "table": 'sales."Odd ""Things"""',
        "id": "Key",
        "owner": "who",
        "owner_is": "id",
        "columns": columns,
    }
    rows = await share(odd=odd)
    item = json.loads((await rows.get(lead, "odd", id_of("1", "odd"))).body)
    assert {name: item[name] for name in columns} == {
        "text": "a text", "label": "sad", "small": 1, "big": 9007199254740993, "exact": 0.1,
        "real": pytest.approx(0.1), "flag": True, "ref": ref, "day": "2026-02-03",
        "at": "2026-02-03T04:05:06.000000Z", "local": "2026-02-03T04:05:06.000000Z", "tags": ["a", "b"],
        "words": ["c"], "doc": {"x": 1}, "old": {"y": 2}, "brief": "short", "fixed": "ab",
    }  # fmt: skip
    for name, value in {
        **{
            "label": "sad",
            "small": "1",
            "big": "9007199254740993",
            "exact": "0.1",
            "flag": "true",
            "ref": ref,
        },
        **{"day": "2026-02-03", "at": "2026-02-03T04:05:06Z", "local": "2026-02-03T04:05:06Z", "tags": "a"},
        **{"words": "c", "brief": "short", "fixed": "ab", "text": "a text", "real": str(item["real"])},
    }.items():
        assert (await rows.list(lead, "odd", {name: value})).rows == 1, name
    for name in ("label", "small", "big", "exact", "real", "flag", "ref", "day", "at", "local", "brief"):
        first = json.loads((await rows.list(lead, "odd", {"sort": name, "limit": "1"})).body)
        second = await rows.list(lead, "odd", {"sort": name, "limit": "1", "cursor": first["next_cursor"]})
        assert json.loads(second.body)["items"][0]["external_id"] == "2", name


@pytest.mark.parametrize(
    ("owner_is", "value"), [("email", "lead@example.org"), ("id", None)], ids=["email", "id"]
)
async def test_owners_may_be_addresses_or_ids(share, lead, pool, owner_is, value):
    await pool.execute(
        "CREATE TABLE sales.parcels (id uuid PRIMARY KEY, who %s, what text)"
        % ("uuid" if owner_is == "id" else "text")
    )
    own, foreign = "0b6e0f5e-3f0e-4a7e-8f5a-6d2f1f0f9a11", "0b6e0f5e-3f0e-4a7e-8f5a-6d2f1f0f9a12"
    others = "00000000-0000-4000-8000-000000000000" if owner_is == "id" else "lead@example.com"
    for row_id, who in ((own, value or str(lead.id)), (foreign, others)):
        await pool.execute(f"INSERT INTO sales.parcels VALUES ('{row_id}', '{who}', 'a parcel')")
    parcels = {
        "table": "sales.parcels",
        "id": "id",
        "owner": "who",
        "owner_is": owner_is,
        "columns": ["what"],
    }
    rows = await share(parcels=parcels | ({"email_domain": "example.org"} if owner_is == "email" else {}))
    page = json.loads((await rows.list(lead, "parcels", {})).body)
    assert [item["id"] for item in page["items"]] == [own]  # a uuid is its own id


async def test_a_view_of_the_operators_is_shared_too(share, lead, pool, keys, orders):
    await pool.execute(
        "CREATE VIEW sales.paid AS SELECT order_no, account, title FROM sales.orders WHERE NOT paid"
    )
    rows = await share(
        orders=orders(table="sales.paid", team=None, columns=["title"], search=["title"], created_at=None)
    )
    assert sorted(await keys(rows, lead)) == ["A-1", "A-2", "A-3", "C-3"]  # it has no teams


async def test_why_a_row_is_seen_can_be_explained(share, lead, client, id_of):
    rows = await share()
    assert (await rows.explain(lead, "orders", id_of("A-1"))).visible
    hidden = await rows.explain(client, "orders", id_of("A-1"))
    assert not hidden.visible
    assert "personal row of somebody else" in hidden.reasons[0]
    assert (await rows.explain(lead, "orders", id_of("C-1"))).reasons == ("orders has no row with this id",)
