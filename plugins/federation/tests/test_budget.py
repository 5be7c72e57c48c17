"""Rows per day: never more than the scope says, whoever asks how often at the same time."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from mosaic_federation.budget import rows_given, within_budget
from mosaic_federation.scopes import ScopeRequest
from mosaic_hookspecs.errors import NotFound, TooMany
from mosaic_hookspecs.types import Answer, GrantView


@pytest.fixture
async def tasks(world: Any) -> list[str]:
    user = await world.host.identity.user("ada")
    bodies = [json.dumps({"title": f"task {n}"}).encode() for n in range(12)]
    return [json.loads((await world.host.rows.create(user, "tasks", body)).body)["id"] for body in bodies]


async def granted(world: Any, per_day: int | None, **scope: Any) -> GrantView:
    grant_id, _ = await world.enrolled(max_rows_per_day=per_day, **scope)
    view: GrantView = (await world.grants.show(grant_id)).view
    return view


async def listed(world: Any, view: GrantView, **params: str) -> int:
    async def read(seen_as: GrantView) -> Answer:
        found: Answer = await world.host.rows.list(seen_as, "tasks", params)
        return found

    return (await within_budget(world.pool, view, read)).rows


async def given(world: Any, view: GrantView) -> int:
    return await rows_given(world.pool, view.grant_id, datetime.now(UTC))


async def test_a_day_ends_with_the_budget_and_says_when_the_next_begins(world: Any, tasks: list[str]) -> None:
    view = await granted(world, 20)
    assert await listed(world, view) == 12
    assert await given(world, view) == 12
    assert await listed(world, view) == 8  # the rest, as a shorter page
    with pytest.raises(TooMany, match="20 rows of this day") as caught:
        await listed(world, view)
    now = datetime.now(UTC)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    assert abs(caught.value.retry_after - (midnight - now).total_seconds()) < 5
    assert await given(world, view) == 20


async def test_a_shorter_page_goes_on_where_it_ended(world: Any, tasks: list[str]) -> None:
    view = await granted(world, 5)

    async def read(seen_as: GrantView) -> Answer:
        found: Answer = await world.host.rows.list(seen_as, "tasks", {})
        return found

    page = json.loads((await within_budget(world.pool, view, read)).body)
    assert len(page["items"]) == 5
    assert page["next_cursor"]
    await world.grants.update(view.grant_id, ScopeRequest(max_rows_per_day=100), actor="root")
    more = (await world.grants.show(view.grant_id)).view
    assert await listed(world, more, cursor=page["next_cursor"]) == 7


async def test_what_is_not_there_costs_nothing(world: Any, tasks: list[str]) -> None:
    view = await granted(world, 1)
    row = await world.host.rows.list(view, "tasks", {"limit": "1"})

    async def get(row_id: str) -> Answer:
        return await within_budget(world.pool, view, lambda v: world.host.rows.get(v, "tasks", row_id))

    for _ in range(3):
        with pytest.raises(NotFound):
            await get(str(uuid4()))
        assert await given(world, view) == 0
    await get(json.loads(row.body)["items"][0]["id"])
    with pytest.raises(TooMany):
        await get(str(uuid4()))


async def test_a_request_that_is_given_up_costs_nothing(world: Any) -> None:
    view = await granted(world, 10)

    async def stuck(_: GrantView) -> Answer:
        await asyncio.sleep(60)
        raise AssertionError

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await within_budget(world.pool, view, stuck)
    assert await given(world, view) == 0


@pytest.mark.parametrize("wanted", [1, 3, 100])
async def test_many_at_once_never_have_more_than_the_budget(
    world: Any, tasks: list[str], wanted: int
) -> None:
    view = await granted(world, 37)
    answers = await asyncio.gather(
        *(listed(world, view, limit=str(wanted)) for _ in range(60)), return_exceptions=True
    )
    rows = [one for one in answers if isinstance(one, int)]
    assert all(isinstance(one, int | TooMany) for one in answers)
    assert sum(rows) == await given(world, view)
    assert sum(rows) <= 37
    while True:  # and no row of it is lost
        try:
            rows.append(await listed(world, view, limit=str(wanted)))
        except TooMany:
            break
    assert sum(rows) == 37


async def test_every_day_and_every_grant_has_its_own(world: Any, tasks: list[str]) -> None:
    view, other = await granted(world, 5), await granted(world, 5)
    assert await listed(world, view) == 5
    assert await listed(world, other) == 5
    await world.pool.execute(
        "UPDATE federation_row_budgets SET day = day - 1 WHERE grant_id = $1", view.grant_id
    )
    assert await listed(world, view) == 5
    with pytest.raises(TooMany):
        await listed(world, other)


async def test_a_budget_that_is_lowered_below_what_was_given_is_reached(world: Any, tasks: list[str]) -> None:
    view = await granted(world, 100)
    assert await listed(world, view) == 12
    await world.grants.update(view.grant_id, ScopeRequest(max_rows_per_day=10), actor="root")
    with pytest.raises(TooMany):
        await listed(world, (await world.grants.show(view.grant_id)).view)


async def test_without_a_budget_nothing_is_counted(world: Any, tasks: list[str]) -> None:
    assert await listed(world, await granted(world, None)) == 12
    assert await world.pool.fetchval("SELECT count(*) FROM federation_row_budgets") == 0


async def test_the_explanation_counts_the_budget_and_names_the_end(world: Any, tasks: list[str]) -> None:
    view = await granted(world, 12, days=3)

    async def told() -> tuple[bool, str]:
        found = await world.grants.explain(view.grant_id, "tasks", tasks[0])
        assert all(reason.startswith("allowed") for reason in found.reasons) is found.visible
        return found.visible, "; ".join(found.reasons)

    visible, why = await told()
    assert visible
    assert "0 of 12 rows of this day (UTC) are given" in why
    assert f"ends only at {datetime.now(UTC) + timedelta(days=3):%Y-%m-%d}" in why
    await listed(world, view)
    visible, why = await told()
    assert not visible
    assert "hidden: 12 of 12 rows" in why


async def test_old_counts_are_forgotten(world: Any, tasks: list[str]) -> None:
    from mosaic_federation.expiry import expiry_job

    view: GrantView = await granted(world, 5)
    days: list[UUID] = []
    for age in (0, 30, 31):
        await world.pool.execute(
            "INSERT INTO federation_row_budgets VALUES ($1, (now() AT TIME ZONE 'UTC')::date - $2::int, 1, 1)",
            view.grant_id, age,
        )  # fmt: skip
    await expiry_job(world.host).run({})
    days = [row[0] for row in await world.pool.fetch("SELECT day FROM federation_row_budgets ORDER BY day")]
    assert len(days) == 2


async def test_a_request_under_way_holds_no_rows_that_others_could_have(world: Any, tasks: list[str]) -> None:
    """Else a peer that asks twice at once is told to come back tomorrow, with most of its rows not given."""
    view, asked, told = await granted(world, 13), asyncio.Event(), asyncio.Event()

    async def slow(_: GrantView) -> Answer:
        asked.set()
        await told.wait()
        return Answer(b"{}", 1)

    first = asyncio.create_task(within_budget(world.pool, view, slow))
    await asked.wait()
    assert await listed(world, view) == 12
    told.set()
    assert (await first).rows == 1
    assert await given(world, view) == 13


async def test_who_reads_while_others_are_given_the_rest_has_a_shorter_page(
    world: Any, tasks: list[str]
) -> None:
    view, asked, told = await granted(world, 15), asyncio.Event(), asyncio.Event()

    async def slow(seen_as: GrantView) -> Answer:
        found: Answer = await world.host.rows.list(seen_as, "tasks", {})
        asked.set()
        await told.wait()
        return found

    first = asyncio.create_task(within_budget(world.pool, view, slow))
    await asked.wait()
    assert await listed(world, view) == 12
    told.set()
    page = await first
    assert len(json.loads(page.body)["items"]) == page.rows == 3
    assert await given(world, view) == 15


async def test_peers_that_ask_for_nonsense_or_for_nothing_make_the_budget_no_work(
    world: Any, tasks: list[str], asker: Any
) -> None:
    _, certificate = await world.enrolled(max_rows_per_day=12, resources=("tasks",))
    ask = asker()
    counted = "SELECT xmin::text, rows FROM federation_row_budgets"
    for path, status in (
        ("tasks?limit=0", 400),
        ("tasks?sort=nothing", 400),
        ("tasks/search?q=", 400),
        ("notes", 404),
        (f"tasks/{uuid4()}", 404),
        ("tasks?title=no+such+task", 200),
    ):
        assert (await ask(certificate, path)).status_code == status
        assert await world.pool.fetch(counted) == [], path
    assert (await ask(certificate, "tasks")).status_code == 200
    written = await world.pool.fetch(counted)
    assert [row["rows"] for row in written] == [12]
    for path in ("tasks", "tasks/search?q=task", f"tasks/{tasks[0]}"):
        refused = await ask(certificate, path)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
    assert await world.pool.fetch(counted) == written
