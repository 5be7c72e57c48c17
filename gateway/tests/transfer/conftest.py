"""Readers need only a resource; storing runs on a fresh database with every table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from mosaic_gateway.database import Pool
from mosaic_gateway.identity import Identities
from mosaic_gateway.resources import ResourceRows
from mosaic_hookspecs.types import MigrationSet, Resource, User
from mosaic_migrations import CORE
from mosaic_workspace.plugin import mosaic_migrations as workspace_migrations
from mosaic_workspace.plugin import mosaic_resources as workspace_resources


class Task(BaseModel):
    """Shaped like the tasks of the workspace plugin, which the gateway must not import."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=1, max_length=500)
    body: str = ""
    status: Literal["open", "doing", "done", "cancelled"] = "open"
    priority: int | None = Field(None, ge=0, le=9)
    due_at: datetime | None = None
    completed_at: datetime | None = None
    tags: list[str] = Field(default_factory=list)


class Gauge(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reading: float


@pytest.fixture
def tasks() -> Resource:
    return Resource("tasks", Task, "Things to do", search=("title", "body"))


@pytest.fixture
def gauges() -> Resource:
    return Resource("gauges", Gauge, "Numbers")


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str | bytes], Path]:
    """Write a file below a fresh working directory; return its relative path, as a user would type it."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, content: str | bytes) -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def migration_sets() -> list[MigrationSet]:
    return [CORE, *(one for one in workspace_migrations() if not one.needs_vector)]


@pytest.fixture
async def rows(pool: Pool) -> ResourceRows:
    return ResourceRows(pool, list(workspace_resources()), lambda: [b"k" * 32])


@pytest.fixture
async def identities(pool: Pool) -> Identities:
    return Identities(pool)


@pytest.fixture
async def ada(identities: Identities) -> User:
    await identities.add_user("ada")
    return await identities.user("ada")
