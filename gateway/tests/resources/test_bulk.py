"""Imports: one transaction, idempotent by external id, every fault with its record."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosaic_gateway.resources import Stored
from mosaic_hookspecs.errors import Invalid


@pytest.fixture
def store(rows):
    async def store(user, records, team_id=None, dry_run=False):
        return await rows.store_many(user, "things", records, team_id=team_id, dry_run=dry_run)

    return store


@pytest.fixture
def everything(rows):
    async def everything(user):
        return [json.loads(item) async for item in rows.export(user, "things")]

    return everything


async def test_a_second_import_changes_nothing_and_a_third_only_what_differs(store, everything, ada):
    records = [{"external_id": str(n), "title": f"thing {n}", "tags": ["a"]} for n in range(2500)]
    assert await store(ada, records) == Stored(2500, 0, 0)
    before = await everything(ada)
    assert await store(ada, records) == Stored(0, 0, 2500)
    assert await everything(ada) == before
    records[3] = records[3] | {"size": 1}
    assert await store(ada, [*records, {"external_id": "new", "title": "new"}]) == Stored(1, 1, 2499)
    after = {item["external_id"]: item for item in await everything(ada)}
    assert (after["3"]["size"], after["3"]["version"]) == (1, 2)
    assert [item for item in before if item != after[item["external_id"]]] == [before_of(before, "3")]


def before_of(items, external_id):
    return next(item for item in items if item["external_id"] == external_id)


async def test_records_without_external_id_are_added_each_time(store, everything, ada):
    assert await store(ada, [{"title": "a"}, {"title": "a"}]) == Stored(2, 0, 0)
    assert await store(ada, [{"title": "a"}]) == Stored(1, 0, 0)
    assert len(await everything(ada)) == 3


async def test_a_dry_run_counts_and_keeps_nothing(store, everything, ada):
    await store(ada, [{"external_id": "1", "title": "a"}, {"external_id": "2", "title": "b"}])
    before = await everything(ada)
    records = [{"external_id": "1", "title": "c"}, {"external_id": "2", "title": "b"}, {"title": "d"}]
    assert await store(ada, records, dry_run=True) == Stored(1, 1, 1)
    assert await everything(ada) == before


async def test_the_same_external_id_is_another_row_in_another_place(store, everything, ada, bob, core):
    record = [{"external_id": "1", "title": "a"}]
    assert await store(ada, record) == Stored(1, 0, 0)
    assert await store(bob, record) == Stored(1, 0, 0)
    assert await store(ada, record, team_id=core.id) == Stored(1, 0, 0)
    assert await store(bob, [{"external_id": "1", "title": "b"}], team_id=core.id) == Stored(0, 1, 0)
    [ours] = [item for item in await everything(bob) if item["team_id"]]
    assert (ours["title"], ours["owner_id"]) == ("b", str(ada.id))


async def test_a_strange_team_is_refused(store, everything, identities, ada, bob):
    team = await identities.add_team("others")
    await identities.add_member("others", "bob")
    for team_id in (team.id, uuid4()):
        with pytest.raises(Invalid) as caught:
            await store(ada, [{"title": "a"}], team_id=team_id)
        assert [fault.where for fault in caught.value.faults] == ["/team_id"]
    assert await everything(bob) == []


async def test_one_bad_record_stops_all_and_every_bad_one_is_named(rows, store, everything, ada):
    records = [
        {"title": "good"}, {"titel": "x"}, {"title": "a", "size": "many"}, {"title": "a\0"},
        {"title": "a", "external_id": "1"}, {"title": "b", "external_id": "1"}, {"title": "a", "team_id": str(uuid4())},
    ]  # fmt: skip
    with pytest.raises(Invalid) as caught:
        await store(ada, records)
    assert [fault.where for fault in caught.value.faults] == [
        "/1/titel", "/1/title", "/2/size", "/3/title", "/5/external_id", "/6/team_id",
    ]  # fmt: skip
    assert await everything(ada) == []
    assert [fault.where for fault in rows.check("things", records[1])] == ["/titel", "/title"]
    assert rows.check("things", records[0]) == []


async def test_a_row_that_only_the_table_refuses_undoes_the_whole_import(store, everything, ada):
    records = [{"title": str(n), "external_id": str(n)} for n in range(1200)] + [{"title": "x", "tiny": 7}]
    with pytest.raises(Invalid, match="things_tiny_check"):
        await store(ada, records)
    assert await everything(ada) == []


async def test_values_may_be_text_as_in_csv_or_python_objects(store, everything, ada):
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert await store(ada, [{"title": "a", "size": "7", "fresh": "true", "seen_at": moment}]) == Stored(
        1, 0, 0
    )
    [item] = await everything(ada)
    assert (item["size"], item["fresh"], item["seen_at"]) == (7, True, "2026-01-01T00:00:00.000000Z")


async def test_imports_at_the_same_time_add_each_row_once(store, everything, ada):
    records = [{"external_id": str(n), "title": str(n)} for n in range(1500)]
    results = await asyncio.gather(*(store(ada, records[::way]) for way in (1, -1, 1, -1)))
    assert sum(result.created for result in results) == 1500
    assert len(await everything(ada)) == 1500


RECORD = st.fixed_dictionaries(
    {"title": st.sampled_from(["a", "b"]), "external_id": st.sampled_from(["1", "2", "3", "4"])},
    optional={
        "size": st.sampled_from([None, 1]),
        "tags": st.sampled_from([[], ["x"]]),
        "extra": st.just({"k": [1]}),
    },
)
IMPORT = st.lists(RECORD, max_size=4, unique_by=lambda record: record["external_id"])


@given(imports=st.lists(IMPORT, max_size=4))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_counts_and_rows_follow_a_plain_dictionary(pool, rows, store, everything, ada, imports):
    await pool.execute("DELETE FROM things")
    defaults = {"size": None, "tags": [], "extra": {}}
    kept: dict[str, dict[str, object]] = {}
    for records in imports:
        full = {record["external_id"]: defaults | record for record in records}
        expected = Stored(
            created=len(full.keys() - kept.keys()),
            updated=sum(key in kept and kept[key] != record for key, record in full.items()),
            unchanged=sum(kept.get(key) == record for key, record in full.items()),
        )
        assert await store(ada, records, dry_run=True) == expected
        assert await store(ada, records) == expected
        kept |= full
    stored = {
        item["external_id"]: {name: item[name] for name in kept[item["external_id"]]}
        for item in await everything(ada)
    }
    assert stored == kept


async def test_an_export_gives_every_visible_row_once_over_many_batches(store, everything, ada, bob, core):
    await store(ada, [{"title": str(n)} for n in range(450)])
    await store(ada, [{"title": str(n)} for n in range(450, 700)], team_id=core.id)
    assert sorted(int(item["title"]) for item in await everything(ada)) == list(range(700))
    assert sorted(int(item["title"]) for item in await everything(bob)) == list(range(450, 700))
