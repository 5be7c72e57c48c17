"""Resources made for these tests: one with a column of every kind, one without search, one never shared."""

from __future__ import annotations

import json
from datetime import date
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from all_pages import all_pages
from mosaic_gateway.identity import Identities
from mosaic_gateway.resources import ResourceRows
from mosaic_hookspecs.types import GrantView, Resource

TABLES = """
CREATE TABLE things (
    title text NOT NULL, body text NOT NULL, kind text NOT NULL, size bigint, weight double precision, fresh boolean,
    day date, seen_at timestamptz, ref uuid, tags text[] NOT NULL, extra jsonb NOT NULL, tiny smallint CHECK (tiny <> 7)
);
SELECT make_resource('things', '{title, body}');
CREATE TABLE plain (title text NOT NULL);
SELECT make_resource('plain');
CREATE TABLE secrets (title text NOT NULL);
SELECT make_resource('secrets', '{title}');
"""

GRANTS = """
CREATE TABLE IF NOT EXISTS grants_on_record (id uuid PRIMARY KEY, subject uuid NOT NULL, scope jsonb NOT NULL);
CREATE OR REPLACE FUNCTION granted(grant_id uuid) RETURNS TABLE (subject uuid, scope jsonb)
LANGUAGE sql STABLE AS 'SELECT g.subject, g.scope FROM grants_on_record g WHERE g.id = grant_id';
"""


class Kind(Enum):
    A = "a"
    B = "b"


class Thing(BaseModel):
    title: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    body: str = ""
    kind: Kind = Kind.A
    size: int | None = None
    weight: float | None = None
    fresh: bool | None = None
    day: date | None = None
    seen_at: AwareDatetime | None = None
    ref: UUID | None = None
    tags: list[str] = Field(default_factory=list)
    extra: dict[str, Any] = Field(default_factory=dict)
    tiny: int | None = None


class Plain(BaseModel):
    title: str


@pytest.fixture(scope="session")
def tables():
    return TABLES


@pytest.fixture
async def pool(pool):
    await pool.execute(TABLES)
    return pool


@pytest.fixture
def identities(pool):
    return Identities(pool)


RESOURCES = [
    Resource("things", Thing, "Things", search=("title", "body")),
    Resource("plain", Plain, "Plain things"),
    Resource("secrets", Plain, "Never shared", search=("title",), federable=False),
]


@pytest.fixture
def resources():
    return RESOURCES


@pytest.fixture
def rows(pool):
    """The first wall alone: grants, too, are answered as the owner of the tables, who sees all rows."""
    return ResourceRows(pool, RESOURCES, lambda: [b"k" * 32], pool)


@pytest.fixture
async def peers(pool, behind_wall):
    """Connections behind the second wall, which knows the grants of ``record``."""
    await pool.execute(GRANTS)
    async with behind_wall(RESOURCES) as peers:
        yield peers


@pytest.fixture
def both(pool, peers):
    """Both walls, as in a gateway."""
    return ResourceRows(pool, RESOURCES, lambda: [b"k" * 32], peers)


@pytest.fixture
def record(pool):
    """Put grants on record, as the federation plugin would."""

    async def record(*views: GrantView) -> None:
        values = [(view.grant_id, view.subject_id, view.scope.model_dump_json()) for view in views]
        await pool.executemany("INSERT INTO grants_on_record VALUES ($1, $2, $3::text::jsonb)", values)

    return record


@pytest.fixture
async def ada(identities):
    await identities.add_user("ada")
    return await identities.user("ada")


@pytest.fixture
async def bob(identities):
    await identities.add_user("bob")
    return await identities.user("bob")


@pytest.fixture
async def core(identities, ada, bob):
    """A team of ada and bob."""
    team = await identities.add_team("core")
    await identities.add_member("core", "ada")
    await identities.add_member("core", "bob")
    return team


@pytest.fixture
def add(rows):
    """Create a thing and return it as a dict."""

    async def add(user, /, **fields: Any) -> dict[str, Any]:
        body = json.dumps({"title": "a thing"} | fields).encode()
        return json.loads((await rows.create(user, "things", body)).body)

    return add


@pytest.fixture
def titles(rows):
    """List things and return their titles, over all pages."""

    async def titles(viewer, /, **params: str) -> list[str]:
        return [item["title"] for item in await all_pages(rows, viewer, "things", params)]

    return titles
