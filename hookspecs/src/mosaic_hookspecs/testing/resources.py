"""What every resource has to be. Needs a gateway's rows over a real Postgres with its table."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol
from uuid import UUID

import pytest

from mosaic_hookspecs.errors import Invalid, NotFound, ReadOnly
from mosaic_hookspecs.protocols import Database, Rows
from mosaic_hookspecs.scope import Scope
from mosaic_hookspecs.testing.samples import sample
from mosaic_hookspecs.types import Answer, GrantView, Resource, User, Viewer

Body = Mapping[str, Any]
Add = Callable[[User, Body], Awaitable[str]]


class WritableRows(Rows, Protocol):
    """The rows of a gateway, with what its REST API does to them."""

    async def create(self, viewer: User, resource: str, body: bytes) -> Answer: ...
    async def update(
        self, viewer: User, resource: str, row_id: str, body: bytes, *, if_match: int | None
    ) -> Answer: ...
    async def delete(self, viewer: User, resource: str, row_id: str, *, if_match: int | None) -> None: ...


class World(Protocol):
    """A gateway to try a resource in; `mosaic_gateway.testing.world` has one."""

    @property
    def rows(self) -> WritableRows: ...
    @property
    def database(self) -> Database: ...

    async def user(self) -> User:
        """One more user, who has nothing."""
        ...

    async def team(self, *members: User) -> UUID:
        """One more team."""
        ...

    async def granted(self, subject: User, scope: Scope) -> GrantView:
        """A grant of the subject's rows, on record."""
        ...


class ResourceContract:
    """Inherit from this and give it fixtures: ``resource``; ``world``, a :class:`World` whose database has its
    table; and ``body``, what a user may write of a row, unless the first of the ``examples`` in the model's JSON
    Schema, or values made from its types, will do. A view needs one more, ``add``: what puts a row behind it.
    """

    @pytest.fixture
    def body(self, resource: Resource) -> Body:
        """What a user may write."""
        return sample(resource.model)

    @pytest.fixture
    async def owner(self, world: World) -> User:
        """Whose rows these are."""
        return await world.user()

    @pytest.fixture
    def add(self, world: World, resource: Resource) -> Add:
        """Add a row of an owner; return its id."""
        if resource.view:
            pytest.skip("it is a view, and what puts a row behind it is not known")

        async def add(owner: User, body: Body) -> str:
            return str(_item(await world.rows.create(owner, resource.name, json.dumps(body).encode()))["id"])

        return add

    async def test_its_model_takes_what_it_describes(self, resource: Resource, body: Body) -> None:
        """The model has a JSON Schema, and what a body says comes back as JSON."""
        assert resource.model.model_json_schema()["type"] == "object"
        json.loads(resource.model.model_validate(body).model_dump_json())

    async def test_its_table_has_all_columns(self, resource: Resource, world: World) -> None:
        """Those that ``make_resource`` or ``make_view`` adds, one for each field, and text for what is searched."""
        columns = await _columns(world, resource)
        missing = [name for name in resource.columns if name not in columns]
        assert not missing, f"its table lacks {', '.join(missing)}"
        assert all(columns.get(name) == "text" for name in resource.search), "a search column is no text"
        indexed = resource.view or not resource.search or "search_vector" in columns
        assert indexed, "its table was made without search columns"

    async def test_a_row_is_made_read_changed_and_deleted(
        self, resource: Resource, world: World, owner: User, body: Body
    ) -> None:
        _refuse_view(resource)
        rows, name = world.rows, resource.name
        made = _item(await rows.create(owner, name, json.dumps(body).encode()))
        for field in body:
            assert field in made, f"{field} does not come back"
        assert _item(await rows.get(owner, name, made["id"])) == made
        changed = _item(
            await rows.update(owner, name, made["id"], b'{"external_id": "contract"}', if_match=1)
        )
        assert (changed["external_id"], changed["version"]) == ("contract", 2)
        await rows.delete(owner, name, made["id"], if_match=2)
        with pytest.raises(NotFound):
            await rows.get(owner, name, made["id"])

    async def test_a_body_that_does_not_fit_is_refused(
        self, resource: Resource, world: World, owner: User, body: Body
    ) -> None:
        """A field that nobody knows is refused and not dropped."""
        _refuse_view(resource)
        with pytest.raises(Invalid):
            unknown = {**body, "no_such_field": 1}
            await world.rows.create(owner, resource.name, json.dumps(unknown).encode())
        assert await _listed(world, owner, resource) == []

    async def test_rows_are_listed_and_found(
        self, resource: Resource, world: World, owner: User, body: Body, add: Add
    ) -> None:
        """Found by a word of each search column that the body fills."""
        ids = {await add(owner, body) for _ in range(2)}
        assert set(await _listed(world, owner, resource)) == ids
        for column in resource.search:
            if words := sorted(str(body.get(column) or "").split(), key=len):
                found = await world.rows.search(owner, resource.name, {"q": f'"{words[-1]}"'})
                assert {item["id"] for item in _items(found)} == ids, f"not found by {column}"

    async def test_a_stranger_sees_and_changes_nothing(
        self, resource: Resource, world: World, owner: User, body: Body, add: Add
    ) -> None:
        row_id, stranger = await add(owner, body), await world.user()
        await _sees_nothing(world, stranger, resource, row_id)
        refusal = ReadOnly if resource.view else NotFound
        with pytest.raises(refusal):
            await world.rows.update(stranger, resource.name, row_id, b"{}", if_match=None)
        with pytest.raises(refusal):
            await world.rows.delete(stranger, resource.name, row_id, if_match=None)
        assert await _listed(world, owner, resource) == [row_id]

    async def test_a_team_sees_its_rows(
        self, resource: Resource, world: World, owner: User, body: Body, add: Add
    ) -> None:
        if "team_id" not in resource.columns:
            pytest.skip("its rows are of no team")
        member, stranger = await world.user(), await world.user()
        team = await world.team(owner, member)
        row_id = await add(owner, {**body, "team_id": str(team)})
        assert await _listed(world, member, resource) == [row_id]
        await _sees_nothing(world, stranger, resource, row_id)

    async def test_a_grant_shows_what_its_scope_names_and_no_more(
        self, resource: Resource, world: World, owner: User, body: Body, add: Add
    ) -> None:
        """Or nothing at all, for a resource that is not shared."""
        shown, excluded = [await add(owner, body) for _ in range(2)]
        other = await add(await world.user(), body)

        async def grant(**narrowed: Any) -> GrantView:
            scope = {"resources": (resource.name,), "include_personal": True, **narrowed}
            return await world.granted(owner, Scope(**scope))

        some = await grant(excluded_resources=(f"{resource.name}/{excluded}",))
        if not resource.federable:
            await _sees_nothing(world, some, resource, shown)
            return
        assert await _listed(world, some, resource) == [shown]
        for hidden in (excluded, other):
            with pytest.raises(NotFound):
                await world.rows.get(some, resource.name, hidden)
        elsewhere = await grant(include_personal=False, include_teams=(await world.team(owner),))
        await _sees_nothing(world, elsewhere, resource, shown)
        column = resource.columns[-1]
        narrow = await grant(fields={resource.name: (column,)})
        assert set(_item(await world.rows.get(narrow, resource.name, shown))) == {"id", column}


def _refuse_view(resource: Resource) -> None:
    if resource.view:
        pytest.skip("it is a view: it is only read")


async def _columns(world: World, resource: Resource) -> dict[str, str]:
    found = await world.database.fetch(
        "SELECT attname, format_type(atttypid, NULL) AS kind FROM pg_attribute"
        " WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
        resource.name,
    )
    assert found, f"there is no table {resource.name}: no migration makes it"
    return {row["attname"]: row["kind"] for row in found}


def _item(answer: Answer) -> dict[str, Any]:
    return dict(json.loads(answer.body))


def _items(answer: Answer) -> list[dict[str, Any]]:
    return list(json.loads(answer.body)["items"])


async def _listed(world: World, viewer: Viewer, resource: Resource) -> list[str]:
    return [item["id"] for item in _items(await world.rows.list(viewer, resource.name, {}))]


async def _sees_nothing(world: World, viewer: Viewer, resource: Resource, row_id: str) -> None:
    with pytest.raises(NotFound):
        await world.rows.get(viewer, resource.name, row_id)
    try:
        assert await _listed(world, viewer, resource) == []
    except NotFound:  # as good, of a resource that is not shared
        return
