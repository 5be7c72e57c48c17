"""Readers need only a resource; storing runs on a Postgres of its own, one database per test."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import asyncpg
import pytest
from pydantic import BaseModel, ConfigDict, Field

from mosaic_gateway.database import Pool, open_pool
from mosaic_gateway.identity import Identities
from mosaic_gateway.resources import ResourceRows
from mosaic_hookspecs.types import DatabaseLocation, Resource, User
from mosaic_migrations import CORE
from mosaic_migrations.runner import migrate
from mosaic_workspace.plugin import mosaic_migrations as workspace_migrations
from mosaic_workspace.plugin import mosaic_resources as workspace_resources

BINARIES = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
TEMPLATE = "transfer_template"


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


@pytest.fixture(scope="session")
def cluster() -> Iterator[DatabaseLocation]:
    """A throw-away cluster on a Unix socket. Postgres refuses to run as root, hence the other user."""
    user = "postgres" if os.geteuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="mosaic-transfer-", dir="/tmp"))
    home.chmod(0o711)
    if user:
        shutil.chown(home, user)
    run = {"user": user, "cwd": home, "stdout": subprocess.DEVNULL}
    data, options = home / "data", f"-c listen_addresses= -c fsync=off -k {home}"
    subprocess.run([BINARIES / "initdb", "-D", data, "-U", "mosaic", "-A", "trust", "-N"], check=True, **run)
    subprocess.run(
        [BINARIES / "pg_ctl", "-D", data, "-o", options, "-l", home / "log", "-w", "start"], check=True, **run
    )
    location = DatabaseLocation(host=str(home), user="mosaic", database="postgres")
    try:
        asyncio.run(_make_template(location))
        yield location
    finally:
        subprocess.run([BINARIES / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"], check=True, **run)
        shutil.rmtree(home)


async def _make_template(location: DatabaseLocation) -> None:
    await _execute(location, f"CREATE DATABASE {TEMPLATE}")
    connection = await _connect(replace(location, database=TEMPLATE))
    await migrate(connection, [CORE, *workspace_migrations()])
    await connection.close()


async def _connect(location: DatabaseLocation) -> asyncpg.Connection:
    return await asyncpg.connect(host=location.host, user=location.user, database=location.database)


async def _execute(location: DatabaseLocation, statement: str) -> None:
    connection = await _connect(location)
    await connection.execute(statement)
    await connection.close()


@pytest.fixture
def database(cluster: DatabaseLocation) -> DatabaseLocation:
    """A fresh database with every table, and nothing in it."""
    name = "transfer_test"
    asyncio.run(_execute(cluster, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
    asyncio.run(_execute(cluster, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))
    return replace(cluster, database=name)


@pytest.fixture
async def pool(database: DatabaseLocation) -> AsyncIterator[Pool]:
    async with open_pool(database, size=3) as pool:
        yield pool


@pytest.fixture
async def rows(pool: Pool) -> ResourceRows:
    return ResourceRows(pool, list(workspace_resources()), b"k" * 32)


@pytest.fixture
async def identities(pool: Pool) -> Identities:
    return Identities(pool)


@pytest.fixture
async def ada(identities: Identities) -> User:
    await identities.add_user("ada")
    return await identities.user("ada")
