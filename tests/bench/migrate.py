"""migrate-tier, which verifies what it copied, against pg_dump and pg_restore, which do not.

All on two servers of the same binaries and settings on this machine, the target's tables empty each time, durable.
ROWS (environment) sets the number of rows; with vectors, three tenths of them are vectors of 384 dimensions.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import Row
from tests.faults.conftest import MOSAIC, Postgres, make_home, make_plugin

from mosaic_gateway.compose import compose
from mosaic_gateway.config import read_config
from mosaic_migrations.runner import migrate
from mosaic_tier_local.account import postgres_account
from mosaic_tier_local.binaries import binaries_for

ROWS = int(os.environ.get("ROWS", "1000000"))
MEMORY = 64.0  # MB; the goal
SETTINGS = ("shared_buffers=256MB", "max_wal_size=4GB", "maintenance_work_mem=256MB", "wal_level=minimal",
            "max_wal_senders=0")  # fmt: skip
_TABLE = "CREATE TABLE embeddings (id bigint PRIMARY KEY, embedding vector(384) NOT NULL)"
_TASKS = """
WITH long (text) AS (
    SELECT string_agg(left(md5((n % 3000)::text), 3 + n % 6), ' ') FROM generate_series(1, 20000) n
), owner AS (INSERT INTO users (username) VALUES ('bench') RETURNING id)
INSERT INTO tasks (title, body, owner_id, tags, created_at)
SELECT 'Task ' || n, substr(text, 1 + (random() * 100000)::int, 450), owner.id, ARRAY['a', 'b' || n % 100],
       now() - n * interval '1 second'
FROM long, owner, generate_series(1, $1::int) n
"""
_VECTORS = """
INSERT INTO embeddings
SELECT n, (SELECT array_agg((random() + 0 * n + 0 * d)::real) FROM generate_series(1, 384) d)::vector
FROM generate_series(1, $1::int) n
"""


async def measure() -> list[Row]:
    return await asyncio.to_thread(_measure)


def _measure() -> list[Row]:
    with _home() as root, _server(root, "source") as source, _server(root, "target") as target:
        make_plugin(root, "benched", tables="", vectors=_TABLE)
        bench = Bench(root, source, target)
        return bench.compare(0.3, "with vectors") + bench.compare(0.0, "text only")


@dataclass(frozen=True)
class Bench:
    root: Path
    source: Postgres
    target: Postgres

    def compare(self, vectors: float, what: str) -> list[Row]:
        url = asyncio.run(self.source.new_database())
        config = self.gateway(what.replace(" ", "-"), url)
        asyncio.run(self.seed(url, vectors))
        ours, memory = self.timed(lambda goal: self.migrate(config, goal))
        tuned, _ = self.timed(lambda goal: self.dump(url, goal, "-Fd", "-j2", "-Z0"))
        default, _ = self.timed(lambda goal: self.dump(url, goal, "-Fc"))
        name = f"migrate-tier of {ROWS:,} rows, {what}"
        return [
            Row(
                f"{name} | dump -Fd -j2 -Z0, restore -j2: {tuned / ours:.2f} times as fast", "s", ours, tuned
            ),
            Row(f"{name} | dump -Fc, restore -j2: {default / ours:.2f} times as fast", "s", ours, default),
            Row(f"{name}, peak memory | goal", "MB", memory, MEMORY),
        ]

    def timed(self, work: Callable[[str], float]) -> tuple[float, float]:
        """Seconds into a fresh database, and what ``work`` returns."""
        goal = asyncio.run(self.target.new_database())
        asyncio.run(self.administer(self.target, goal, "CREATE EXTENSION vector"))
        start = time.perf_counter()
        result = work(goal)
        taken = time.perf_counter() - start
        asyncio.run(self.administer(self.target, "/postgres", f"DROP DATABASE {_name(goal)}"))
        return taken, result

    def gateway(self, name: str, url: str) -> Path:
        home = make_home(self.root / name, self.root, Postgres.password, plugin="benched")
        secret = home.directory / "password"
        secret.write_text(Postgres.password)
        storage = {"url": url, "password_file": str(secret), "enable_vector": True}
        config = json.loads(home.config.read_text()) | {"tier": "standalone", "storage": storage}
        home.config.write_text(json.dumps(config))
        return home.config

    async def seed(self, url: str, vectors: float) -> None:
        await self.administer(self.source, url, "CREATE EXTENSION vector")
        config = next(path for path in self.root.glob("*/mosaic.config.json") if url in path.read_text())
        async with self.source.database(url) as conn:
            await migrate(conn, compose(read_config(config)).migrations, vector=True)
            await conn.execute(_TASKS, int(ROWS * (1 - vectors)))
            await conn.execute(_VECTORS, int(ROWS * vectors))
            await conn.execute("VACUUM ANALYZE")

    def migrate(self, config: Path, goal: str) -> float:
        command = ["--config", str(config), "storage", "migrate-tier", "--to", "federated", "--target", goal]
        environment = os.environ | {"PGPASSWORD": Postgres.password, "PYTHONPATH": str(self.root)}
        return _peak([*MOSAIC, *command, "--yes", "--json"], environment)

    def dump(self, url: str, goal: str, *options: str) -> float:
        environment = os.environ | {"PGPASSWORD": Postgres.password}
        out = self.root / "dump"
        source = [str(self.source.binaries / "pg_dump"), *options, "-n", "mosaic", "-d", url, "-f", str(out)]
        target = [str(self.target.binaries / "pg_restore"), "-j2", "-d", goal, str(out)]
        for command in (source, target):
            _peak(command, environment)
        shutil.rmtree(out) if out.is_dir() else out.unlink()
        return 0.0

    async def administer(self, server: Postgres, url: str, statement: str) -> None:
        async with server.administration(_name(url)) as conn:
            await conn.execute(statement)


def _name(url: str) -> str:
    return url.rsplit("/", 1)[1]


def _peak(command: list[str], environment: Mapping[str, str]) -> float:
    """Run to the end; the largest resident memory of the process in MB."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{command[0]} ended with status {status}")
    return usage.ru_maxrss / 1024


@contextmanager
def _home() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="mosaic-bench-", dir="/tmp"))
    root.chmod(0o711)  # the servers run as another user
    try:
        yield root
    finally:
        shutil.rmtree(root)


@contextmanager
def _server(root: Path, name: str) -> Iterator[Postgres]:
    account = postgres_account(None, root)
    (root / name).mkdir()
    server = Postgres(asyncio.run(binaries_for(account)), root / name, SETTINGS)
    server.create()
    server.start()
    asyncio.run(server.until_ready())
    try:
        yield server
    finally:
        server.stop()
