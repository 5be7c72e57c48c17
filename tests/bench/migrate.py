"""migrate-tier, which verifies what it copied, against pg_dump and pg_restore, which do not.

All on two servers of the same binaries and settings on this machine, durable, the target's tables empty each time;
best of the rounds, which alternate. Of the rows, three tenths are vectors of 384 dimensions, or none; of the others,
as many as TASKS says are tasks, with 450 characters of prose, and the rest entries of the audit log. A task costs
either way the same two things that no tool can save: its search vector, made again as the row comes in, and its
place in a GIN index, which Postgres builds on one core.

From the environment: ROWS, TASKS (a share of 1), ROUNDS.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics

from tests.bench import Row
from tests.faults.conftest import MOSAIC, Postgres, make_home, make_plugin

from mosaic_gateway.compose import compose_storage
from mosaic_gateway.config import read_config
from mosaic_migrations.runner import migrate
from mosaic_tier_local.account import postgres_account
from mosaic_tier_local.binaries import binaries_for

ROWS = int(os.environ.get("ROWS", "1000000"))
TASKS = float(os.environ.get("TASKS", "0.5"))
ROUNDS = int(os.environ.get("ROUNDS", "2"))
VECTORS = 0.3
MEMORY = 64.0  # MB; the goal
SETTINGS = ("shared_buffers=256MB", "max_wal_size=4GB", "wal_level=minimal", "max_wal_senders=0")
TUNED = "-c maintenance_work_mem=16MB"  # its best, too: measured, as GIN is what it waits for
_MANUAL = " ".join(" ".join(text.split()) for text in topics.values())  # Python's own
_PIECE = 8000  # characters: Postgres counts them from the start of a text, each time
_PROSE = [_MANUAL[start : start + _PIECE] for start in range(0, len(_MANUAL) - _PIECE, _PIECE)]
_TABLE = "CREATE TABLE embeddings (id bigint PRIMARY KEY, embedding vector(384) NOT NULL)"
_DEFERRED = "SELECT indexdef FROM pg_indexes WHERE indexname = 'tasks_search_idx'"
_SEED_TASKS = """
WITH owner AS (INSERT INTO users (username) VALUES ('bench') RETURNING id)
INSERT INTO tasks (title, body, owner_id, tags, created_at)
SELECT 'Task ' || n, substr(($2::text[])[1 + n % cardinality($2)], 1 + (random() * 7500)::int, 450), owner.id,
       ARRAY['a', 'b' || n % 100], now() - n * interval '1 second'
FROM owner, generate_series(1, $1::int) n
"""
_MONTHS = "SELECT federation_audit_log_cover(now() - n * interval '1 month') FROM generate_series(0, 3) n"
_SEED_AUDIT = """
INSERT INTO federation_audit_log (stream, seq, at, peer, grant_id, subject_id, serial, verb, resource, query_hash,
                                  outcome, rows, bytes_out, latency_us, request_id, payload, prev, hash)
SELECT stream, n, at, 'partner', stream, stream, md5(stream::text), 'list', 'tasks', digest, 'ok', n % 50, n % 9000,
       n % 7000, gen_random_uuid(),
       json_build_object('at', at, 'bytes_out', n % 9000, 'grant_id', stream, 'latency_us', n % 7000,
                         'outcome', 'ok', 'peer', 'partner', 'query_hash', digest, 'request_id', gen_random_uuid(),
                         'resource', 'tasks', 'rows', n % 50, 'seq', n, 'serial', md5(stream::text), 'stream', stream,
                         'subject_id', stream, 'verb', 'list'),
       sha256(int8send(n - 1)), sha256(int8send(n))
FROM gen_random_uuid() AS stream, generate_series(1, $1::bigint) n,
     LATERAL (SELECT now() - n * interval '1 second' AS at, encode(sha256(int8send(n)), 'hex') AS digest) each
"""
_SEED_VECTORS = """
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
        return bench.compare(VECTORS, "with vectors") + bench.compare(0.0, "text only")


@dataclass(frozen=True)
class Bench:
    root: Path
    source: Postgres
    target: Postgres

    def compare(self, vectors: float, what: str) -> list[Row]:
        url = asyncio.run(self.source.new_database())
        config = self.gateway(what.replace(" ", "-"), url)
        asyncio.run(self.seed(url, config, vectors))
        memory = 0.0

        def ours(goal: str) -> None:
            nonlocal memory
            memory = max(memory, self.migrate(config, goal))

        def tuned(goal: str) -> None:
            self.dump(url, goal, "-Fd", "-j2", "-Z0", settings=TUNED)

        def default(goal: str) -> None:
            self.dump(url, goal, "-Fc")

        rounds = [(self.timed(ours), self.timed(tuned)) for _ in range(ROUNDS)]
        move, best = (min(seconds) for seconds in zip(*rounds, strict=True))
        usual = self.timed(default)
        asyncio.run(self.administer(self.source, "/postgres", f"DROP DATABASE {_name(url)}"))
        name = f"migrate-tier of {ROWS:,} rows, {what}"
        return [
            Row(f"{name} | dump -Fd -j2 -Z0, restore -j2: {best / move:.2f} times as fast", "s", move, best),
            Row(f"{name} | dump -Fc, restore -j2: {usual / move:.2f} times as fast", "s", move, usual),
            Row(f"{name}, peak memory | goal", "MB", memory, MEMORY),
        ]

    def timed(self, work: Callable[[str], None]) -> float:
        """Seconds into a fresh database, with nothing left to write from before."""
        goal = asyncio.run(self.target.new_database())
        asyncio.run(self.administer(self.target, goal, "CREATE EXTENSION vector"))
        for server in (self.source, self.target):
            asyncio.run(self.administer(server, "/postgres", "CHECKPOINT"))
        start = time.perf_counter()
        work(goal)
        taken = time.perf_counter() - start
        asyncio.run(self.administer(self.target, "/postgres", f"DROP DATABASE {_name(goal)}"))
        return taken

    def gateway(self, name: str, url: str) -> Path:
        home = make_home(self.root / name, self.root, Postgres.password, plugin="benched")
        secret = home.directory / "password"
        secret.write_text(Postgres.password)
        secret.chmod(0o600)
        storage = {"url": url, "password_file": str(secret), "enable_vector": True}
        config = json.loads(home.config.read_text()) | {"tier": "standalone", "storage": storage}
        home.config.write_text(json.dumps(config))
        return home.config

    async def seed(self, url: str, config: Path, vectors: float) -> None:
        await self.administer(self.source, url, "CREATE EXTENSION vector")
        text = ROWS - int(ROWS * vectors)
        async with self.source.database(url) as conn:
            await migrate(conn, compose_storage(read_config(config)).migrations, vector=True)
            index = await conn.fetchval(_DEFERRED)
            await conn.execute("DROP INDEX tasks_search_idx; SET maintenance_work_mem = '16MB'")
            await conn.execute(_SEED_TASKS, int(text * TASKS), _PROSE)
            await conn.execute(_MONTHS)
            await conn.execute(_SEED_AUDIT, text - int(text * TASKS))
            await conn.execute(_SEED_VECTORS, ROWS - text)
            await conn.execute(index)
            await conn.execute("VACUUM ANALYZE")

    def migrate(self, config: Path, goal: str) -> float:
        """Its peak memory, MB."""
        command = ["--config", str(config), "storage", "migrate-tier", "--to", "federated", "--target", goal]
        environment = os.environ | {"PGPASSWORD": Postgres.password, "PYTHONPATH": str(self.root)}
        told = _run([*MOSAIC, *command, "--yes", "--json"], environment)
        return float(json.loads(told)["peak_memory_mb"])

    def dump(self, url: str, goal: str, *options: str, settings: str = "") -> None:
        environment = os.environ | {"PGPASSWORD": Postgres.password, "PGOPTIONS": settings}
        out = self.root / "dump"
        source = [str(self.source.binaries / "pg_dump"), *options, "-n", "mosaic", "-d", url, "-f", str(out)]
        target = [str(self.target.binaries / "pg_restore"), "-j2", "-d", goal, str(out)]
        for command in (source, target):
            _run(command, environment)
        shutil.rmtree(out) if out.is_dir() else out.unlink()

    async def administer(self, server: Postgres, url: str, statement: str) -> None:
        async with server.administration(_name(url)) as conn:
            await conn.execute(statement)


def _name(url: str) -> str:
    return url.rsplit("/", 1)[1]


def _run(command: list[str], environment: dict[str, str]) -> bytes:
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout


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
