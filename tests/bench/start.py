"""Cold and warm start of the local tier, until a query is answered, against initdb and postgres alone.

Both sides use the same binaries, user and settings, and both are durable; ours also makes the role, the database and
the schema, takes its locks and watches Postgres.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from subprocess import DEVNULL
from typing import Any

import asyncpg
from tests.bench import Row

from mosaic_hookspecs.types import DatabaseLocation
from mosaic_tier_local.account import Account, postgres_account
from mosaic_tier_local.binaries import binaries_for, environment
from mosaic_tier_local.cluster import HERE, INITDB
from mosaic_tier_local.server import SETTINGS
from mosaic_tier_local.settings import Settings
from mosaic_tier_local.storage import EmbeddedStorage

ROUNDS = 7
WARM = 3  # warm starts in each round


async def measure() -> list[Row]:
    times: dict[str, list[float]] = {name: [] for name in ("our cold", "our warm", "cold", "warm")}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as ours, tempfile.TemporaryDirectory() as plain:
            storage = EmbeddedStorage(Path(ours), Settings())
            for state in ("cold", *["warm"] * WARM):
                times[f"our {state}"].append(await _until_answered(storage.open(serving=True)))
                times[state].append(await _until_answered(_alone(Path(plain))))
    ms = {name: median(each) * 1000 for name, each in times.items()}
    return [
        Row("cold start of the local tier ÷ initdb + postgres", "ms", ms["our cold"], ms["cold"]),
        Row("warm start of the local tier ÷ postgres", "ms", ms["our warm"], ms["warm"]),
    ]


async def _until_answered(postgres: AbstractAsyncContextManager[DatabaseLocation]) -> float:
    """Seconds from the call to the first answer."""
    start = time.perf_counter()
    async with postgres as location:
        while True:
            try:
                conn = await asyncpg.connect(
                    host=location.host, user=location.user, database=location.database
                )
                break
            except (OSError, asyncpg.CannotConnectNowError):
                await asyncio.sleep(0.005)
        await conn.fetchval("SELECT 1")
        taken = time.perf_counter() - start
        await conn.close()
    return taken


@asynccontextmanager
async def _alone(directory: Path) -> AsyncIterator[DatabaseLocation]:
    """The plain way: initdb, which syncs by itself, unless it was done, then postgres."""
    account = postgres_account(None, directory)
    os.chown(directory, account.uid, account.gid)
    with _postgres(directory, account, await binaries_for(account)):
        yield DatabaseLocation(host=str(directory), user="postgres", database="postgres")


@contextmanager
def _postgres(directory: Path, account: Account, binaries: Path) -> Iterator[None]:
    run: dict[str, Any] = {"cwd": directory, "env": environment(), "stdout": DEVNULL, "stderr": DEVNULL}
    if not (directory / "PG_VERSION").exists():
        flags = [
            "--auth=trust" if flag == "--auth=reject" else flag for flag in INITDB if flag != "--no-sync"
        ]
        subprocess.run(account.command(binaries / "initdb", *flags), check=True, **run)
    settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    postgres = subprocess.Popen(account.command(binaries / "postgres", "-D", HERE, *settings), **run)
    try:
        yield
    finally:
        postgres.send_signal(signal.SIGINT)
        postgres.wait()
