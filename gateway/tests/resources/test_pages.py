"""Pages and cursors: whatever the sort, walking the pages gives the sorted list, and a cursor is one's own."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosaic_gateway.resources import ResourceRows
from mosaic_hookspecs.errors import Malformed
from mosaic_hookspecs.scope import Scope
from mosaic_hookspecs.types import GrantView, User

START = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = {  # few values each, so that ties and NULLs are common
    "title": st.sampled_from(["", "a", "B", "ä", "z'\"\\"]),
    "kind": st.sampled_from(["a", "b"]),
    "size": st.sampled_from([None, -(2**63), 0, 2**63 - 1]),
    "weight": st.sampled_from([None, -1.5, 0.1, 1e300]),
    "fresh": st.sampled_from([None, True, False]),
    "day": st.sampled_from([None, date(1, 1, 1), date(2026, 2, 3)]),
    "seen_at": st.sampled_from([None, START, START + timedelta(microseconds=1)]),
    "ref": st.sampled_from([None, UUID(int=1), UUID(int=2**127)]),
    "created_at": st.sampled_from([START, START + timedelta(microseconds=1)]),
    "external_id": st.none() | st.uuids().map(str),
}
SORTS = [*COLUMNS, "id"]


@st.composite
def stored(draw):
    row = {"id": draw(st.uuids())} | {name: draw(values) for name, values in COLUMNS.items()}
    return row | {"team": draw(st.booleans())}


@given(
    data=st.lists(stored(), max_size=14, unique_by=lambda row: row["id"]),
    sort=st.sampled_from(SORTS),
    descending=st.booleans(),
    limit=st.integers(1, 6),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_walking_the_pages_gives_the_sorted_list(pool, rows, data, sort, descending, limit):
    user, team = User(uuid4(), f"u{uuid4().hex}"), uuid4()
    await pool.execute("INSERT INTO users (id, username) VALUES ($1, $2)", user.id, user.username)
    await pool.execute("INSERT INTO teams (id, slug) VALUES ($1, $2)", team, f"t{team}")
    await pool.execute("INSERT INTO memberships VALUES ($1, $2)", team, user.id)
    ids = [uuid4() for _ in data]  # an id may come again in another example
    for row, row_id in zip(data, ids, strict=True):
        row["id"] = row_id
    await pool.executemany(
        f"INSERT INTO things (owner_id, team_id, id, {', '.join(COLUMNS)}, body, tags, extra)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, '', '{}', '{}')",
        [[user.id, team if row["team"] else None, row["id"], *(row[c] for c in COLUMNS)] for row in data],
    )
    present = [row for row in data if row[sort] is not None]
    absent = [row for row in data if row[sort] is None]
    expected = [
        *sorted(present, key=lambda row: (row[sort], row["id"].int), reverse=descending),
        *sorted(absent, key=lambda row: row["id"].int, reverse=descending),
    ]
    params, walked = {"sort": "-" * descending + sort, "limit": str(limit)}, []
    while True:
        answer = await rows.list(user, "things", params)
        page = json.loads(answer.body)
        assert answer.rows == len(page["items"]) <= limit
        walked += [UUID(item["id"]) for item in page["items"]]
        if page["next_cursor"] is None:
            break
        assert len(page["items"]) == limit
        params["cursor"] = page["next_cursor"]
    assert walked == [row["id"] for row in expected]


async def test_the_default_is_newest_first_fifty_at_most_two_hundred(rows, add, titles, ada):
    for number in range(52):
        await add(ada, title=str(number))
    page = json.loads((await rows.list(ada, "things", {})).body)
    assert [item["title"] for item in page["items"]] == [str(n) for n in range(51, 1, -1)]
    assert await titles(ada) == [str(n) for n in range(51, -1, -1)]
    assert await titles(ada, limit="200") == [str(n) for n in range(51, -1, -1)]


async def test_a_grant_caps_rows_of_every_query_and_still_pages(rows, add, titles, ada):
    for number in range(5):
        await add(ada, title=f"apple {number}")
    scope = Scope(resources=("things",), include_personal=True, max_rows_per_query=2)
    grant = GrantView(uuid4(), ada.id, scope)
    assert (await rows.list(grant, "things", {"limit": "200"})).rows == 2
    assert (await rows.search(grant, "things", {"q": "apple", "limit": "200"})).rows == 2
    assert await titles(grant) == [f"apple {n}" for n in range(4, -1, -1)]


async def test_rows_added_or_deleted_meanwhile_disturb_no_other_row(rows, add, ada):
    made = [await add(ada, title=str(n)) for n in range(6)]
    first = json.loads((await rows.list(ada, "things", {"limit": "2"})).body)
    await rows.delete(ada, "things", made[4]["id"], if_match=None)  # the cursor's own row
    await add(ada, title="new")
    second = json.loads((await rows.list(ada, "things", {"limit": "9", "cursor": first["next_cursor"]})).body)
    assert [item["title"] for item in second["items"]] == ["3", "2", "1", "0"]


class TestCursor:
    @pytest.fixture
    async def cursor(self, rows, add, ada):
        for _ in range(3):
            await add(ada)
        return json.loads((await rows.list(ada, "things", {"limit": "1"})).body)["next_cursor"]

    async def refused(self, rows, viewer, resource="things", **params):
        with pytest.raises(Malformed) as caught:
            await rows.list(viewer, resource, params)
        assert [fault.where for fault in caught.value.faults] == ["cursor"]

    async def test_it_is_refused_after_any_change_of_a_byte(self, rows, ada, cursor):
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        for index in range(len(raw)):
            spoiled = raw[:index] + bytes([raw[index] ^ 1]) + raw[index + 1 :]
            await self.refused(rows, ada, cursor=base64.urlsafe_b64encode(spoiled).decode().rstrip("="))

    @pytest.mark.parametrize(
        "text", ["", "x", "====", "ä", "\0", "\ud800", "A" * 43, "A" * 5000, "a b", "null"]
    )
    async def test_what_is_no_cursor_is_refused(self, rows, ada, text):
        await self.refused(rows, ada, cursor=text)

    @given(text=st.text(max_size=120))
    @settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    async def test_no_text_is_taken_for_a_cursor(self, rows, ada, text):
        await self.refused(rows, ada, cursor=text)

    async def test_it_belongs_to_one_viewer(self, rows, ada, bob, cursor):
        await self.refused(rows, bob, cursor=cursor)
        for grant_id in (uuid4(), ada.id):
            grant = GrantView(grant_id, ada.id, Scope(resources=("things",), include_personal=True))
            await self.refused(rows, grant, cursor=cursor)

    async def test_it_belongs_to_one_resource_sort_and_filter(self, rows, ada, cursor):
        await self.refused(rows, ada, "plain", cursor=cursor)
        await self.refused(rows, ada, cursor=cursor, sort="created_at")
        await self.refused(rows, ada, cursor=cursor, sort="-title")
        await self.refused(rows, ada, cursor=cursor, kind="a")
        assert (
            await rows.list(ada, "things", {"cursor": cursor, "sort": "-created_at", "limit": "3"})
        ).rows == 2

    async def test_it_belongs_to_one_gateway(self, pool, rows, ada, cursor):
        other = ResourceRows(pool, [rows.resource("things")], lambda: [b"another key of thirty-two bytes!"])
        await self.refused(other, ada, cursor=cursor)
