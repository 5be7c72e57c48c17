"""Filters, search and their parameters: right answers, and every wrong parameter named."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosaic_gateway.resources import ResourceRows
from mosaic_hookspecs.errors import Malformed
from mosaic_hookspecs.types import Answer, User


@pytest.fixture
async def shelf(add, ada, core):
    """Three things: x, y and z, each with other values."""
    seen = "2026-01-02T03:04:05.000006Z"
    x = {
        "size": 1,
        "weight": 0.5,
        "fresh": True,
        "day": "2026-01-01",
        "seen_at": seen,
        "ref": str(UUID(int=1)),
    }
    await add(ada, title="x", kind="a", tags=["red", "big"], body="plums", external_id="e-x", **x)
    await add(ada, title="y", kind="b", size=2, weight=1.5, fresh=False, tags=["red"], team_id=str(core.id))
    await add(ada, title="z", kind="b", body="a plum, and another plum")


@pytest.mark.parametrize(("params", "expected"), [
    ({"kind": "b"}, "yz"), ({"kind": "a", "size": "1"}, "x"), ({"title": "y"}, "y"), ({"title": "Y"}, ""),
    ({"size.gte": "1", "size.lt": "2"}, "x"), ({"size.gt": "1"}, "y"), ({"size.lte": "2"}, "xy"),
    ({"size.in": "2,3"}, "y"), ({"kind.in": "a,b"}, "xyz"), ({"title.in": "x,z,x"}, "xz"),
    ({"size.null": "true"}, "z"), ({"size.null": "false"}, "xy"), ({"team_id.null": "true"}, "xz"),
    ({"weight.gt": "0.5"}, "y"), ({"weight": "0.5"}, "x"), ({"fresh": "false"}, "y"), ({"fresh": "true"}, "x"),
    ({"day": "2026-01-01"}, "x"), ({"day.gt": "2026-01-01"}, ""), ({"ref": str(UUID(int=1))}, "x"),
    ({"seen_at": "2026-01-02T04:04:05.000006+01:00"}, "x"), ({"seen_at.lt": "2026-01-02T03:04:05Z"}, ""),
    ({"tags": "red"}, "xy"), ({"tags": "big"}, "x"), ({"tags": "re"}, ""), ({"external_id": "e-x"}, "x"),
    ({"version": "1", "created_at.gt": "2020-01-01T00:00:00Z"}, "xyz"), ({"title": "' OR 1=1 --"}, ""),
    ({"title": "{}"}, ""), ({"title": "$1"}, ""),
])  # fmt: skip
async def test_filters_select(shelf, titles, ada, params, expected):
    assert "".join(sorted(await titles(ada, **params))) == expected


@pytest.mark.parametrize(("params", "where", "words"), [
    ({"titel": "x"}, "titel", "did you mean 'title'?"), ({"size.gtee": "1"}, "size.gtee", "size.gte"),
    ({"surces": "local"}, "surces", "did you mean 'sources'?"), ({"timeot": "1"}, "timeot", "did you mean 'timeout'?"),
    ({"qqqqqq": "1"}, "qqqqqq", "known here: limit, cursor, sort, sources, timeout, id,"),
    ({"title.null": "true"}, "title.null", "unknown parameter"), ({"size.null": "1"}, "size.null", "true or false"),
    ({"size": "one"}, "size", "valid integer"), ({"size": ""}, "size", "valid integer"),
    ({"size": str(2**63)}, "size", "64 bits"), ({"weight": "nan"}, "weight", "finite"),
    ({"kind": "c"}, "kind", "'a' or 'b'"), ({"title": "\0"}, "title", "U+0000"),
    ({"title": "\ud800"}, "title", "surrogate"), ({"title": "x" * 201}, "title", "200"),
    ({"seen_at": "2026-01-01T00:00:00"}, "seen_at", "timezone"), ({"seen_at": "1700000000"}, "seen_at", "RFC 3339"),
    ({"seen_at": "0001-01-01T00:00:00+01:00"}, "seen_at", "years 1 to 9999"),
    ({"created_at.gt": "2026-01-01T00:00:00"}, "created_at.gt", "time zone"),
    ({"extra": "{}"}, "extra", "unknown parameter"), ({"tags.in": "a"}, "tags.in", "unknown parameter"),
    ({"id": "1"}, "id", "UUID"), ({"size.in": "1,,2"}, "size.in", "valid integer"),
    ({"title.in": "x," * 100}, "title.in", "at most 100"), ({"\ud800": "1"}, "\\ud800", "unknown parameter"),
    ({"limit": "0"}, "limit", "from 1 to 200"), ({"limit": "201"}, "limit", "from 1 to 200"),
    ({"limit": "-1"}, "limit", "1"), ({"limit": "²"}, "limit", "1"), ({"limit": "9" * 5000}, "limit", "1"),
    ({"sort": "titel"}, "sort", "did you mean 'title'?"), ({"sort": ""}, "sort", "cannot sort"),
    ({"sort": "body"}, "sort", "cannot sort"), ({"sort": "extra"}, "sort", "cannot sort"),
    ({"sort": "title;drop table"}, "sort", "cannot sort"), ({"sort": "search_vector"}, "sort", "cannot sort"),
])  # fmt: skip
async def test_a_wrong_parameter_is_named(rows, ada, params, where, words):
    with pytest.raises(Malformed) as caught:
        await rows.list(ada, "things", params)
    [fault] = caught.value.faults
    assert fault.where == where
    assert words in fault.message


async def test_a_search_suggests_only_what_is_near(rows, ada):
    with pytest.raises(Malformed) as caught:
        await rows.search(ada, "things", {"q": "plum", "surces": "local", "colour": "red"})
    assert [fault.message for fault in caught.value.faults] == [
        "unknown parameter; did you mean 'sources'?",
        "unknown parameter; known here: q, limit, mode, lang, highlight, sources, timeout",
    ]


async def test_every_wrong_parameter_is_named_at_once(rows, ada):
    with pytest.raises(Malformed) as caught:
        await rows.list(ada, "things", {"limit": "x", "sort": "x", "size": "x", "colour": "x"})
    assert {fault.where for fault in caught.value.faults} == {"limit", "sort", "size", "colour"}


NAMES = st.sampled_from(
    ["title", "size", "weight", "fresh", "day", "seen_at", "ref", "tags", "extra", "limit", "sort"]
)
OPERATORS = st.sampled_from(["", ".gt", ".in", ".null", ".x"])
TEXTS = st.text(st.characters(exclude_categories=()), max_size=30) | st.sampled_from(
    ["1", "true", "NaN", "1e999"]
)


@given(params=st.dictionaries(st.builds(str.__add__, NAMES, OPERATORS) | TEXTS, TEXTS, max_size=4))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_any_parameters_give_an_answer_or_malformed(rows, params):
    for ask in (rows.list, rows.search):
        with suppress(Malformed):
            assert isinstance(await ask(User(uuid4(), "nobody"), "things", params), Answer)


async def test_search_finds_word_forms_and_ranks_the_title_first(rows, add, ada, shelf):
    await add(ada, title="plum")
    answer = await rows.search(ada, "things", {"q": "plums"})
    items = json.loads(answer.body)["items"]
    assert items[0]["title"] == "plum"
    assert {item["title"] for item in items} == {"plum", "x", "z"}
    assert all(a["rank"] >= b["rank"] > 0 for a, b in pairwise(items))
    assert answer.rows == 3


@pytest.mark.parametrize(("q", "expected"), [
    ("plum -another", "x"), ('"another plum"', "z"), ("plum or nothing", "xz"), ("nothing", ""), ("the", ""),
    ("'; drop table things --", ""), ("!&|():*<->\\", ""), ("a" * 500, ""),
])  # fmt: skip
async def test_search_takes_what_people_type(rows, ada, shelf, q, expected):
    items = json.loads((await rows.search(ada, "things", {"q": q})).body)["items"]
    assert "".join(sorted(item["title"] for item in items)) == expected


@pytest.mark.parametrize("params", [{}, {"q": " "}, {"q": "a\0"}, {"q": "\ud800"}, {"q": "a" * 501},
                                    {"q": "a", "limit": "201"}, {"q": "a", "cursor": "x"}])  # fmt: skip
async def test_a_wrong_search_is_malformed(rows, ada, params):
    with pytest.raises(Malformed) as caught:
        await rows.search(ada, "things", params)
    assert caught.value.faults


async def test_a_resource_without_search_says_so(rows, ada):
    with pytest.raises(Malformed, match="no text to search"):
        await rows.search(ada, "plain", {"q": "x"})


async def test_times_are_utc_with_six_decimals_whatever_came_in(add, ada):
    thing = await add(ada, seen_at="2026-06-01T12:00:00.5+02:00")
    assert thing["seen_at"] == "2026-06-01T10:00:00.500000Z"
    made = datetime.fromisoformat(thing["created_at"])
    assert abs(datetime.now(UTC) - made) < timedelta(minutes=1)


async def test_more_filters_than_anyone_needs_are_refused_at_once(rows, ada):
    start = time.process_time()
    with pytest.raises(Malformed, match="at most 100 filters"):
        await rows.list(ada, "things", {f"titl{number}": "" for number in range(2000)})
    assert time.process_time() - start < 0.5  # seconds; it was two


@pytest.mark.parametrize("ask", [ResourceRows.list, ResourceRows.search])
async def test_of_very_many_wrong_parameters_the_first_are_named(rows, ada, ask):
    """To guess what each of thousands was meant to be would keep everybody else waiting for a second."""
    with pytest.raises(Malformed) as caught:
        await ask(rows, ada, "things", {f"x{n}" * 20: "" for n in range(90)})
    assert len(caught.value.faults) < 20
