"""Rows of several sources as one list: sorted as all of them would be, and each shown once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaic_gateway.resources import ResourceRows
from mosaic_gateway.sources import Fanout
from mosaic_gateway.sources.merge import Order
from mosaic_hookspecs.errors import Forbidden, Malformed, MosaicError, NotFound, TooMany, Unavailable
from mosaic_hookspecs.sources import Asked, Source, SourcePage
from mosaic_hookspecs.types import User

USER = User(UUID(int=1), "lead")
ASKED = Asked(within=5)
Row = Mapping[str, Any]


def in_order(rows: Sequence[Row], sort: str) -> list[Row]:
    """As Postgres sorts a list: by value then by id, NULLs last."""
    column = sort.removeprefix("-")
    down = sort.startswith("-")
    there = [row for row in rows if row.get(column) is not None]
    there.sort(key=lambda row: (row[column], row["id"]), reverse=down)
    return there + sorted(
        (row for row in rows if row.get(column) is None), key=lambda row: row["id"], reverse=down
    )


@dataclass
class Shelf:
    """A source in memory; a page has at most ``most`` rows, as a grant's scope may say."""

    name: str
    rows: list[Row]
    most: int = 200
    resources: Sequence[str] = ("tasks", "notes")
    error: BaseException | None = None
    why_old: MosaicError | None = None
    asked: int = 0

    async def list(self, resource: str, params: Mapping[str, str], asked: Asked) -> SourcePage:
        self.asked += 1
        if self.error is not None:
            raise self.error
        sort = params.get("sort", "-created_at")
        rows, column = in_order(self.rows, sort), sort.removeprefix("-")
        if "cursor" in params:  # a keyset, as the gateways' own
            value, row_id = json.loads(params["cursor"])
            rows = [row for row in rows if Order.of(sort).is_behind(row, value, row_id)]
        page = rows[: min(self.most, int(params.get("limit", 50)))]
        more = len(page) < len(rows)
        cursor = json.dumps((page[-1].get(column), page[-1]["id"])) if more else None
        return SourcePage(page, cursor, why_old=self.why_old)

    async def search(self, resource: str, params: Mapping[str, str], asked: Asked) -> SourcePage:
        if self.error is not None:
            raise self.error
        return SourcePage(self.rows if resource == "tasks" else [])


@dataclass
class Silent(Shelf):
    async def list(self, *_: Any) -> SourcePage:
        return await asyncio.Future()


@dataclass
class Shelves:
    every: Sequence[Shelf]
    kind: str = "shelf"

    async def readable_by(self, viewer: User) -> Sequence[Source]:
        return self.every


@dataclass
class Library:
    """A gateway without rows of its own, and shelves."""

    shelves: list[Shelf] = field(default_factory=list)

    @property
    def fanout(self) -> Fanout:
        rows = ResourceRows(None, [], lambda: [b"k" * 32])  # type: ignore[arg-type]  # it has none
        return Fanout(rows, [Shelves(self.shelves)], lambda: [b"k" * 32])

    async def page(self, cursor: str | None = None, asked: Asked = ASKED, **params: Any) -> Any:
        given = {name: str(value) for name, value in params.items()} | ({"cursor": cursor} if cursor else {})
        return await self.fanout.list(USER, "tasks", given, "shelf:*", asked)

    async def every_page(self, **params: Any) -> list[Any]:
        pages = [await self.page(**params)]
        while pages[-1].next_cursor is not None:
            pages.append(await self.page(pages[-1].next_cursor, **params))
        return pages


def shelf(name: str, *values: Any, **more: Any) -> Shelf:
    return Shelf(name, [{"id": f"{name}{n:02}", "value": value} for n, value in enumerate(values)], **more)


values = st.lists(st.none() | st.integers(0, 5), max_size=12)


@settings(deadline=None)
@given(
    st.lists(st.tuples(values, st.integers(1, 7)), min_size=1, max_size=4),
    st.integers(1, 9),
    st.sampled_from(["value", "-value"]),
)
def test_pages_hold_every_row_once_in_the_order_of_all(
    given: list[tuple[list[Any], int]], limit: int, sort: str
) -> None:
    shelves = [shelf(f"s{n}", *rows, most=most) for n, (rows, most) in enumerate(given)]
    pages = asyncio.run(Library(shelves).every_page(sort=sort, limit=limit))
    shown = [(row["source"], row["id"]) for page in pages for row in page.items]
    assert all(len(page.items) <= limit for page in pages)
    tagged = [row | {"source": f"shelf:{each.name}"} for each in shelves for row in in_order(each.rows, sort)]
    there = [row for row in tagged if row["value"] is not None]
    there.sort(
        key=lambda row: row["value"], reverse=sort == "-value"
    )  # equal ones stay in the order of sources
    expected = there + [row for row in tagged if row["value"] is None]
    assert shown == [(row["source"], row["id"]) for row in expected]


@settings(deadline=None)
@given(st.lists(values, min_size=2, max_size=3), st.integers(1, 4), st.data())
def test_rows_that_go_or_come_between_pages_hide_no_other(
    given: list[list[Any]], limit: int, data: st.DataObject
) -> None:
    shelves = [shelf(f"s{n}", *rows) for n, rows in enumerate(given)]
    library = Library(shelves)
    first = asyncio.run(library.page(sort="value", limit=limit))
    shown = {row["id"] for row in first.items}
    if shown and data.draw(st.booleans()):
        gone = data.draw(st.sampled_from(sorted(shown)))
        for each in shelves:
            each.rows = [row for row in each.rows if row["id"] != gone]
    rest: list[Row] = []
    cursor = first.next_cursor
    while cursor is not None:
        page = asyncio.run(library.page(cursor, sort="value", limit=limit))
        rest += page.items
        cursor = page.next_cursor
    there = {row["id"] for each in shelves for row in each.rows} - shown
    assert sorted(row["id"] for row in rest) == sorted(there)


@dataclass
class Timeless(Shelf):
    """Its rows tell no time, so that it sorts them by id unless it is told how."""

    async def list(self, resource: str, params: Mapping[str, str], asked: Asked) -> SourcePage:
        return await Shelf.list(self, resource, {"sort": "id", **params}, asked)


@pytest.mark.parametrize("gone", [(), ("a01",), ("a00", "a01", "a02")])
async def test_rows_without_the_time_that_others_are_sorted_by_go_last_and_each_once(
    gone: tuple[str, ...],
) -> None:
    timeless = Timeless("a", [{"id": f"a{n:02}"} for n in range(6)])
    dated = Shelf("b", [{"id": "b00", "created_at": "2026-01-01T00:00:00.000000Z"}])
    library = Library([timeless, dated])
    first = await library.page(limit=3)
    assert [row["id"] for row in first.items] == ["b00", "a00", "a01"]
    timeless.rows = [row for row in timeless.rows if row["id"] not in gone]
    rest = [first := await library.page(first.next_cursor, limit=3)]
    while first.next_cursor is not None:
        rest.append(first := await library.page(first.next_cursor, limit=3))
    left = [f"a{n:02}" for n in range(2, 6)]
    assert [row["id"] for page in rest for row in page.items] == [each for each in left if each not in gone]


async def test_a_source_that_fails_in_the_middle_is_asked_again_and_loses_no_row() -> None:
    steady, shaky = shelf("a", 1, 3, 5, 7), shelf("b", 2, 4, 6, 8)
    library = Library([steady, shaky])
    first = await library.page(sort="value", limit=2)
    shaky.error = Unavailable("nothing listens there", remedy="check that it is up")
    second = await library.page(first.next_cursor, sort="value", limit=2)
    assert [row["value"] for row in second.items] == [3]
    assert [(each.name, each.status, each.rows) for each in second.sources] == [
        ("shelf:a", "ok", 1),
        ("shelf:b", "unavailable", 0),
    ]
    assert (second.sources[1].detail, second.sources[1].remedy) == (
        "nothing listens there",
        "check that it is up",
    )
    third = await library.page(second.next_cursor, sort="value", limit=9)
    assert [row["value"] for row in third.items] == [5, 7]
    assert third.next_cursor is None, "nobody pages for ever while a source is away"
    shaky.error = None
    last = await library.page(third.sources[1].cursor, sort="value", limit=9)
    assert [row["value"] for row in last.items] == [4, 6, 8]
    assert last.sources[0].detail == "no more rows"


async def test_a_source_without_end_or_answer_changes_nothing_for_the_others() -> None:
    library = Library([shelf("a", 1, 2), Silent("b", [])])
    page = await library.page(sort="value", asked=Asked(within=0.05))
    assert [row["value"] for row in page.items] == [1, 2]
    assert [each.status for each in page.sources] == ["ok", "timeout"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Forbidden("revoked"), "refused"),
        (NotFound("no such resource"), "absent"),
        (TooMany("slow down"), "limited"),
        (Malformed("no such column"), "invalid"),
        (Unavailable("down"), "unavailable"),
        (TimeoutError(), "timeout"),
        (ZeroDivisionError(), "unavailable"),
    ],
)
async def test_each_failure_has_its_status(error: Exception, status: str) -> None:
    page = await Library([shelf("a", 1), shelf("b", error=error)]).page(sort="value")
    assert [each.status for each in page.sources] == ["ok", status]
    assert bool(page.sources[1].cursor) == (status in {"limited", "unavailable", "timeout"})
    assert "Zero" not in json.dumps([row["id"] for row in page.items])


async def test_old_rows_are_said_to_be_old() -> None:
    page = await Library([shelf("a", 1, why_old=Unavailable("away"))]).page(sort="value")
    assert [(each.status, each.rows, each.detail) for each in page.sources] == [("stale", 1, "away")]


async def test_a_cursor_serves_its_own_list_only() -> None:
    library = Library([shelf("a", 1, 2, 3)])
    cursor = (await library.page(sort="value", limit=1)).next_cursor
    for other in ({"sort": "-value"}, {"sort": "value", "status": "open"}):
        with pytest.raises(Malformed, match="cursor"):
            await library.page(cursor, limit=1, **other)
    stranger = User(UUID(int=2), "client")
    with pytest.raises(Malformed, match="cursor"):
        await library.fanout.list(stranger, "tasks", {"sort": "value", "cursor": cursor}, "shelf:*", ASKED)
    with pytest.raises(Malformed, match="cursor"):
        await library.fanout.list(USER, "tasks", {"sort": "value", "cursor": cursor}, "shelf:a", ASKED)


async def test_a_search_takes_the_first_of_each_source_then_the_second() -> None:
    library = Library([shelf("a", 1, 2, 3), shelf("b", 4), shelf("c", error=Unavailable("away"))])
    found = await library.fanout.search(USER, None, {"q": "x", "limit": "3"}, "shelf:*", ASKED)
    assert [row["id"] for row in found.items] == ["a00", "b00", "a01"]
    assert {row["resource"] for row in found.items} == {"tasks"}
    assert [(each.status, each.rows) for each in found.sources] == [("ok", 2), ("ok", 1), ("unavailable", 0)]


async def test_what_nobody_named_may_be_absent_and_what_was_named_not() -> None:
    class Picky(Shelf):
        async def search(self, resource: str, params: Mapping[str, str], asked: Asked) -> SourcePage:
            if resource == "notes":
                raise NotFound("there is no resource 'notes'")
            return await super().search(resource, params, asked)

    library = Library([Picky("a", [{"id": "1"}])])
    found = await library.fanout.search(USER, None, {"q": "x"}, "shelf:*", ASKED)
    assert [each.status for each in found.sources] == ["ok"]
    found = await library.fanout.search(USER, ["tasks", "notes"], {"q": "x"}, "shelf:*", ASKED)
    assert [(each.status, each.rows) for each in found.sources] == [("absent", 1)]


async def test_names_are_taken_in_order_and_once() -> None:
    library = Library([shelf("a", 1), shelf("b", 2)])
    page = await library.fanout.list(USER, "tasks", {}, "shelf:b,shelf:*,shelf:nobody", ASKED)
    assert [(each.name, each.status) for each in page.sources] == [
        ("shelf:b", "ok"),
        ("shelf:a", "ok"),
        ("shelf:nobody", "unknown"),
    ]


@pytest.mark.parametrize("text", ["", "loca", "shelve:a", "shelf:", "local,,local", "local:x", "*"])
async def test_what_is_no_source_is_refused_with_what_may_be_meant(text: str) -> None:
    with pytest.raises(Malformed, match=r"did you mean '(local|shelf:\*)'|there are local, shelf:\*"):
        await Library().fanout.list(USER, "tasks", {}, text, ASKED)


async def test_names_beyond_count_are_refused() -> None:
    with pytest.raises(Malformed, match="longer than 1000 characters"):
        await Library().fanout.list(USER, "tasks", {}, ",".join(["local"] * 1000), ASKED)


@pytest.mark.parametrize("limit", ["0", "201", "x", "-1", "1e2", "²"])
async def test_a_limit_is_a_number_of_rows(limit: str) -> None:
    with pytest.raises(Malformed, match="limit"):
        await Library().page(limit=limit)


@settings(deadline=None)
@given(
    st.lists(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers()), max_size=8
    )
)
def test_values_of_any_kind_can_be_sorted_by(mixed: list[Any]) -> None:
    class Odd(Shelf):
        async def list(self, *_: Any) -> SourcePage:
            return SourcePage(self.rows)

    library = Library([Odd(f"s{n}", [{"id": str(n), "value": value}]) for n, value in enumerate(mixed)])
    for sort in ("value", "-value"):
        page = asyncio.run(library.page(sort=sort))
        assert sorted(row["id"] for row in page.items) == sorted(str(n) for n in range(len(mixed)))
