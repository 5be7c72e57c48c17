"""What a scope's column allowlist hides is hidden at every door, and can be asked about at none."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosaic_hookspecs.errors import Malformed, NotFound
from mosaic_hookspecs.scope import Scope
from mosaic_hookspecs.types import STANDARD_COLUMNS, GrantView

COLUMNS = (
    *STANDARD_COLUMNS,
    *("title", "body", "kind", "size", "weight", "fresh", "day", "seen_at", "ref", "tags", "extra", "tiny"),
)
WORDS = ("apple", "pear", "plum")


def grant(user, *columns, **more) -> GrantView:
    fields = {"things": columns} if columns else {}
    scope = Scope(resources=("things",), include_personal=True, fields=fields, **more)
    return GrantView(uuid4(), user.id, scope)


def matches(row: dict, query: tuple[str, bool], columns) -> bool:
    """The rule, once more: a word of the visible text, or none of it."""
    word, negated = query
    text = " ".join(row[name] for name in ("title", "body") if name in columns).split()
    return (word in text) is not negated


@given(
    columns=st.sets(st.sampled_from(COLUMNS), min_size=1),
    texts=st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(WORDS)), max_size=6),
    query=st.tuples(st.sampled_from(WORDS), st.booleans()),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_every_door_shows_the_named_columns_and_knows_no_other(
    rows, identities, add, columns, texts, query
):
    name = f"u{uuid4().hex}"
    await identities.add_user(name)
    user = await identities.user(name)
    stored = [
        await add(user, title=title, body=body, seen_at="2026-01-01T00:00:00Z") for title, body in texts
    ]
    viewer, seen = grant(user, *sorted(columns)), {"id", *columns}

    listed = json.loads((await rows.list(viewer, "things", {})).body)["items"]
    expected = [{key: value for key, value in row.items() if key in seen} for row in stored]
    newest_first = "created_at" in seen
    expected.sort(
        key=lambda row: (row["created_at"], row["id"]) if newest_first else row["id"], reverse=newest_first
    )
    assert listed == expected
    for row in stored:
        answer = await rows.get(viewer, "things", row["id"])
        assert set(json.loads(answer.body)) == seen
        assert (answer.version is not None) is ("version" in seen)
    exported = [json.loads(item) async for item in rows.export(viewer, "things")]
    assert sorted(exported, key=lambda row: row["id"]) == sorted(expected, key=lambda row: row["id"])

    words = f"-{query[0]}" if query[1] else query[0]
    if {"title", "body"} & seen:
        found = json.loads((await rows.search(viewer, "things", {"q": words})).body)["items"]
        assert {row["id"] for row in found} == {row["id"] for row in stored if matches(row, query, seen)}
        assert all(set(row) == {*seen, "rank"} for row in found)
    else:
        with pytest.raises(Malformed, match="no text to search"):
            await rows.search(viewer, "things", {"q": words})


@pytest.mark.parametrize("hidden", [name for name in COLUMNS if name not in {"id", "title"}])
async def test_a_hidden_column_is_answered_like_one_that_does_not_exist(rows, ada, add, hidden):
    await add(ada, body="plum", size=5)
    viewer = grant(ada, "title")

    async def refusal(**params) -> str:
        with pytest.raises(Malformed) as caught:
            await rows.list(viewer, "things", params)
        return str(caught.value)

    def suggested(told: str) -> set[str]:
        hint = re.search(r"did you mean '(-?\w+)(?:\.\w+)?'|known here: (.*)", told)
        return set((hint[1] or hint[2]).split(", "))

    for operator in ("", ".gt", ".gte", ".lt", ".lte", ".in", ".null"):
        told = await refusal(**{f"{hidden}{operator}": "1"})
        assert f"{hidden}{operator}: unknown parameter" in told
        assert suggested(told) <= {"limit", "cursor", "sort", "id", "title"}
    for sort in (hidden, f"-{hidden}"):
        told = await refusal(sort=sort)
        assert f"cannot sort by '{hidden}'" in told
        assert suggested(told) <= {"id", "title"}


async def test_the_order_the_cursor_and_the_page_tell_of_no_hidden_column(rows, ada, add, pool):
    for n in range(6):
        await add(ada, title=f"t{n}", body="x" * (3_000_000 if n % 2 else 1))  # a page has 16 MB at most
    viewer = grant(ada, "title", max_rows_per_query=3)
    page = json.loads((await rows.list(viewer, "things", {})).body)
    ids = [item["id"] for item in page["items"]]
    assert len(ids) == 3
    assert ids == sorted(ids)  # by id: newest first would tell of created_at
    payload = base64.urlsafe_b64decode(page["next_cursor"] + "==")[32:]
    assert json.loads(payload) == [ids[-1], ids[-1]]
    rest = json.loads((await rows.list(viewer, "things", {"cursor": page["next_cursor"]})).body)
    assert rest["next_cursor"] is None
    assert len({*ids, *(item["id"] for item in rest["items"])}) == 6


async def test_long_hidden_texts_do_not_end_a_page_early(rows, ada, add):
    for n in range(3):
        await add(ada, title=f"t{n}", body="x" * 9_000_000)
    whole, narrow = grant(ada), grant(ada, "title", "created_at")
    assert json.loads((await rows.list(whole, "things", {})).body)["next_cursor"] is not None
    assert json.loads((await rows.list(narrow, "things", {})).body)["next_cursor"] is None
    # a search stops at the same size, counted over what is shown
    for _ in range(3):
        await add(ada, title="plum", body="x" * 9_000_000)
    assert (await rows.search(whole, "things", {"q": "plum"})).rows == 1
    assert (await rows.search(narrow, "things", {"q": "plum"})).rows == 3


async def test_rank_counts_no_hidden_word(rows, ada, add):
    await add(ada, title="plum", body="plum plum plum plum")
    await add(ada, title="plum", body="")
    found = json.loads((await rows.search(grant(ada, "title"), "things", {"q": "plum"})).body)["items"]
    assert len({item["rank"] for item in found}) == 1

    async def best(column: str) -> float:
        answer = await rows.search(grant(ada, column), "things", {"q": "plum"})
        return json.loads(answer.body)["items"][0]["rank"]

    title, body = await best("title"), await best("body")
    assert title > body  # a title still weighs more


async def test_a_column_that_is_gone_from_the_resource_is_simply_not_there(rows, ada, add):
    row = await add(ada)
    viewer = grant(ada, "title", "was_here_once")
    assert set(json.loads((await rows.get(viewer, "things", row["id"])).body)) == {"id", "title"}


async def test_other_resources_and_the_user_see_all_columns(rows, ada, add):
    row = await add(ada)
    assert set(json.loads((await rows.get(grant(ada), "things", row["id"])).body)) == set(COLUMNS)
    assert set(json.loads((await rows.get(ada, "things", row["id"])).body)) == set(COLUMNS)


async def test_a_scope_that_has_ended_reaches_nothing(rows, ada, add):
    row = await add(ada)
    ended = grant(ada, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    for attempt in (
        rows.list(ended, "things", {}),
        rows.get(ended, "things", row["id"]),
        rows.search(ended, "things", {"q": "x"}),
        anext(rows.export(ended, "things")),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert (await rows.explain(ended, "things", row["id"])).reasons == ("hidden: the scope has ended",)
    later = grant(ada, expires_at=datetime.now(UTC) + timedelta(minutes=1))
    assert (await rows.list(later, "things", {})).rows == 1


async def test_an_explanation_names_the_columns(rows, ada, add):
    row = await add(ada)
    told = await rows.explain(grant(ada, "title", "status", "created_at"), "things", row["id"])
    assert told.visible
    assert "allowed: of its columns only id, created_at, title" in told.reasons
