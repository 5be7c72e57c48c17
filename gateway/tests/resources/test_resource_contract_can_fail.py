"""Each rule of the contract fails for a resource, or for rows, that break it."""

from __future__ import annotations

import json
from dataclasses import replace
from inspect import signature
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, model_serializer

from mosaic_gateway.resources import ResourceRows
from mosaic_gateway.testing.world import RowsWorld
from mosaic_hookspecs.testing import ResourceContract
from mosaic_hookspecs.testing.samples import sample
from mosaic_hookspecs.types import GrantView, Resource, User


class Plain(BaseModel):
    title: str


class Wide(Plain):
    size: int | None = None


class Mute(Plain):
    @model_serializer
    def _nothing(self) -> Any:
        return object()


class Demanding(Plain):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "oats"}]})


GOOD = Resource("plain", Plain, "Plain things")


@pytest.fixture
async def world(pool, peers, resources):
    return RowsWorld(ResourceRows(pool, resources, lambda: [b"k" * 32], peers), pool)


async def fails(rule: str, world: Any, resource: Resource = GOOD) -> None:
    with pytest.raises((Exception, pytest.fail.Exception)) as caught:
        await run(rule, world, resource)
    assert not isinstance(caught.value, TypeError), caught.value


async def run(rule: str, world: Any, resource: Resource = GOOD) -> None:
    async def add(owner, body):
        made = await world.rows.create(owner, resource.name, json.dumps(body).encode())
        return json.loads(made.body)["id"]

    given = {"resource": resource, "world": world, "owner": await world.user(), "add": add}
    given["body"] = sample(resource.model)
    method = getattr(ResourceContract(), rule)
    await method(**{name: given[name] for name in signature(method).parameters})


@pytest.mark.parametrize(
    ("rule", "resource"),
    [
        ("test_its_model_takes_what_it_describes", Resource("plain", Demanding, "")),
        ("test_its_model_takes_what_it_describes", Resource("plain", Mute, "")),
        ("test_its_table_has_all_columns", Resource("nowhere", Plain, "")),
        ("test_its_table_has_all_columns", Resource("plain", Wide, "")),
        ("test_its_table_has_all_columns", Resource("plain", Plain, "", search=("title",))),
    ],
    ids=["another example", "no JSON", "no table", "no column", "no search"],
)
async def test_a_bad_resource_is_found(world, rule, resource):
    await fails(rule, world, resource)


class Rows:
    """The real ones, save what a saboteur does instead."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rows, name)


class Forgetful(Rows):
    async def update(self, viewer, resource, row_id, body, *, if_match):
        return await self._rows.get(viewer, resource, row_id)


class Immortal(Rows):
    async def delete(self, viewer, resource, row_id, *, if_match):
        await self._rows.get(viewer, resource, row_id)


class Lax(Rows):
    async def create(self, viewer, resource, body):
        known = {key: value for key, value in json.loads(body).items() if not key.startswith("no_such")}
        return await self._rows.create(viewer, resource, json.dumps(known).encode())


class Open(Rows):
    """Whoever asks is taken for the first who made a row."""

    owner: User | None = None

    async def create(self, viewer, resource, body):
        self.owner = self.owner or viewer
        return await self._rows.create(viewer, resource, body)

    async def get(self, viewer, resource, row_id):
        return await self._rows.get(self.owner, resource, row_id)


class Blind(Rows):
    async def list(self, viewer, resource, params):
        return replace(await self._rows.list(viewer, resource, params), body=b'{"items": []}')


class Lonely(Rows):
    """Teams count for nothing."""

    async def list(self, viewer, resource, params):
        answer = await self._rows.list(viewer, resource, params)
        items = [item for item in json.loads(answer.body)["items"] if item["team_id"] is None]
        return replace(answer, body=json.dumps({"items": items}).encode())


class Generous(Rows):
    """A scope's exclusions, or its fields, count for nothing."""

    ignored = "excluded_resources"

    def _widened(self, viewer: Any) -> Any:
        if not isinstance(viewer, GrantView):
            return viewer
        return User(viewer.subject_id, "lead") if self.ignored in viewer.scope.model_fields_set else viewer

    async def list(self, viewer, resource, params):
        return await self._rows.list(self._widened(viewer), resource, params)

    async def get(self, viewer, resource, row_id):
        return await self._rows.get(self._widened(viewer), resource, row_id)


class Frank(Generous):
    ignored = "fields"


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ("test_a_row_is_made_read_changed_and_deleted", Forgetful),
        ("test_a_row_is_made_read_changed_and_deleted", Immortal),
        ("test_a_body_that_does_not_fit_is_refused", Lax),
        ("test_rows_are_listed_and_found", Blind),
        ("test_a_stranger_sees_and_changes_nothing", Open),
        ("test_a_team_sees_its_rows", Lonely),
        ("test_a_grant_shows_what_its_scope_names_and_no_more", Generous),
        ("test_a_grant_shows_what_its_scope_names_and_no_more", Frank),
    ],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
async def test_bad_rows_are_found(world, rule, kind):
    await fails(rule, replace(world, rows=kind(world.rows)))


class TestGood(ResourceContract):
    @pytest.fixture
    def resource(self):
        return GOOD


class TestNeverShared(ResourceContract):
    @pytest.fixture
    def resource(self):
        return Resource("secrets", Plain, "Never shared", search=("title",), federable=False)
