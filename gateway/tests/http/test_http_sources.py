"""``sources=`` over HTTP: what it takes, what it answers, and that nothing changes without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from mosaic_gateway.http import public_app
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.sources import Asked, Source, SourcePage
from mosaic_hookspecs.types import User

ROW = {"id": "far", "title": "oats", "created_at": "2000-01-01", "source": "a lie", "half": "\ud800"}


@dataclass
class Far:
    """A source that notes how it was asked."""

    seen: list[tuple[Mapping[str, str], Asked]]
    name: str = "work"
    resources: Sequence[str] = ("tasks",)

    async def list(self, resource: str, params: Mapping[str, str], asked: Asked) -> SourcePage:
        self.seen.append((params, asked))
        return SourcePage([ROW])

    search = list


class Kind:
    kind = "peer"

    def __init__(self) -> None:
        self.seen: list[tuple[Mapping[str, str], Asked]] = []

    async def readable_by(self, viewer: User) -> Sequence[Source]:
        return [Far(self.seen)] if viewer.username == "ada" else []


@pytest.fixture
def kind(services: Any, ada: Any, bob: Any) -> Kind:
    services.kinds = (kind := Kind(),)
    ada.raw = bob.raw = public_app(services).test_client()
    return kind


async def get(client: Any, path: str, **headers: str) -> Any:
    answer = await client.get(path, headers=headers)
    assert answer.status_code == 200, await answer.get_data(as_text=True)
    return await answer.get_json()


async def test_rows_from_here_and_there_say_where_they_are_from(ada: Any, kind: Kind) -> None:
    await ada.post("/v1/tasks", json={"title": "oats"})
    page = await get(ada, "/v1/tasks?sources=local,peer:*&status=open&limit=5&timeout=1.5")
    assert [row["source"] for row in page["items"]] == ["local", "peer:work"]
    assert [(each["name"], each["status"], each["rows"]) for each in page["sources"]] == [
        ("local", "ok", 1),
        ("peer:work", "ok", 1),
    ]
    assert page["items"][1]["half"] == "?", "half a surrogate pair is no UTF-8"
    [(params, asked)] = kind.seen
    assert params == {"status": "open", "limit": "5"}, "what is about the sources is not for them"
    assert (asked.within, asked.fresh, bool(asked.request_id)) == (1.5, False, True)
    await get(ada, "/v1/tasks?sources=peer:work", **{"Cache-Control": "no-cache"})
    assert kind.seen[-1][1].fresh


async def test_a_search_goes_over_every_resource(ada: Any, kind: Kind) -> None:
    await ada.post("/v1/notes", json={"title": "oats and rye", "body": "x"})
    found = await get(ada, "/v1/search?q=oats&sources=local,peer:*")
    assert [(row["source"], row["resource"]) for row in found["items"]] == [
        ("local", "notes"),
        ("peer:work", "tasks"),
    ]
    alone = await get(ada, "/v1/search?q=oats")
    assert ([each["name"] for each in alone["sources"]], len(alone["items"])) == (["local"], 1)
    one = await get(ada, "/v1/tasks/search?q=oats&sources=local,peer:work")
    assert [row["source"] for row in one["items"]] == ["peer:work"]
    named = await get(ada, "/v1/search?q=oats&resources=tasks,nosuch&sources=local")
    assert [each["status"] for each in named["sources"]] == ["absent"]


async def test_nobody_is_told_of_a_source_that_is_not_for_them(bob: Any, kind: Kind) -> None:
    page = await get(bob, "/v1/tasks?sources=peer:work,peer:nosuch,peer:*")
    told = [each["detail"].replace("nosuch", "work") for each in page["sources"]]
    assert (len(told), len(set(told)), kind.seen) == (2, 1, [])


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("sources=", "sources"),
        ("sources=peers:*", "sources"),
        ("sources=local&timeout=0", "timeout"),
        ("sources=local&timeout=11", "timeout"),
        ("sources=local&timeout=nan", "timeout"),
        ("sources=local&limit=0", "limit"),
        ("sources=local&nosuch=1", "nosuch"),
        ("sources=local,peer:work&sort=nosuch", "sort"),
        ("sources=local&cursor=x", "cursor"),
    ],
)
async def test_what_is_wrong_is_refused_with_its_place(ada: Any, kind: Kind, query: str, where: str) -> None:
    answer = await ada.get(f"/v1/tasks?{query}")
    problem = await answer.get_json()
    assert (answer.status_code, problem["errors"][0]["where"]) == (400, where)


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/tasks?surces=local", "sources"),
        ("/v1/tasks/search?q=oats&timout=1", "timeout"),
        ("/v1/search?q=oats&resorces=tasks", "resources"),
    ],
)
async def test_a_misspelt_parameter_of_the_route_is_told_its_name(
    ada: Any, kind: Kind, path: str, meant: str
) -> None:
    problem = await (await ada.get(path)).get_json()
    assert problem["errors"][0]["detail"] == f"unknown parameter; did you mean {meant!r}?"


async def test_without_sources_nothing_changes(ada: Any, kind: Kind) -> None:
    await ada.post("/v1/tasks", json={"title": "oats"})
    page = await get(ada, "/v1/tasks")
    assert set(page) == {"items", "next_cursor"}
    assert "source" not in page["items"][0]
    assert kind.seen == []


async def test_a_resource_may_not_be_called_like_a_route(services: Any) -> None:
    services.rows._tables["search"] = services.rows._tables["tasks"]
    with pytest.raises(ConfigError, match="/v1/search"):
        public_app(services)
