"""What tests of every member share: a throw-away Postgres, and a fresh, migrated database in it per test."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest

from mosaic_gateway.database import Pool, connect, open_pool
from mosaic_hookspecs.types import DatabaseLocation, MigrationSet
from mosaic_migrations import CORE
from mosaic_migrations.runner import migrate
from mosaic_tier_local.account import postgres_account
from mosaic_tier_local.binaries import binaries_for

_numbers = count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[DatabaseLocation]:
    """Run the local tier's Postgres with a superuser and without fsync, on a Unix socket closed to others."""
    home = Path(tempfile.mkdtemp(prefix="mosaic-pg-", dir="/tmp"))  # short: a socket's path has 107 bytes
    account = postgres_account(None, home)
    binaries = asyncio.run(binaries_for(account))
    shutil.chown(home, account.uid, account.gid)

    def command(program: str, *options: str) -> list[str]:
        return account.command(binaries / program, "-D", home / "data", *options)

    subprocess.run(
        command("initdb", "-U", "mosaic", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"),
        cwd=home, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    with (home / "log").open("wb") as log:
        server = command("postgres", "-k", str(home), "-c", "listen_addresses=", "-F")
        process = subprocess.Popen(server, cwd=home, stderr=log, stdout=log)
    location = DatabaseLocation(host=str(home), user="mosaic", database="postgres")
    try:
        asyncio.run(_until_ready(location, process, home / "log"))
        yield location
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(home)


async def _until_ready(location: DatabaseLocation, process: subprocess.Popen[bytes], log: Path) -> None:
    while True:
        try:
            await (await connect(location)).close()
        except Exception:
            assert process.poll() is None, log.read_text()
            await asyncio.sleep(0.02)
        else:
            return


@pytest.fixture(scope="session")
def new_database(
    postgres: DatabaseLocation,
) -> Callable[[list[MigrationSet]], Awaitable[DatabaseLocation]]:
    """Make databases with the tables of some migration sets; copying a template saves migrating each."""
    templates: set[str] = set()

    async def make(sets: list[MigrationSet]) -> DatabaseLocation:
        template = "template_" + sha256(repr(sets).encode()).hexdigest()[:16]
        name = f"test_{next(_numbers)}"
        administration = await connect(postgres)
        if template not in templates:
            await administration.execute(f"CREATE DATABASE {template}")
            connection = await connect(replace(postgres, database=template))
            await migrate(connection, sets)
            await connection.close()
            templates.add(template)
        await administration.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        await administration.close()
        return replace(postgres, database=name)

    return make


@pytest.fixture
def migration_sets() -> list[MigrationSet]:
    """Which tables a test starts with; a folder of tests may add its own."""
    return [CORE]


@pytest.fixture
async def pool(
    postgres: DatabaseLocation,
    new_database: Callable[[list[MigrationSet]], Awaitable[DatabaseLocation]],
    migration_sets: list[MigrationSet],
) -> AsyncIterator[Pool]:
    """Open a fresh database."""
    location = await new_database(migration_sets)
    async with open_pool(location) as pool:
        yield pool
    administration = await connect(postgres)
    await administration.execute(f"DROP DATABASE {location.database} WITH (FORCE)")
    await administration.close()
