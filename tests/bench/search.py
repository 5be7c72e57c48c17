"""Search of 100,000 tasks (or MOSAIC_BENCH_ROWS) as far as a viewer sees them, against two plain sides.

One is the gateway's own statement on a bare connection: what its Python costs. The other is what one would write by
hand, with the same words, rule, ranking and page: what its SQL costs, or gains.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, cast

from tests.bench import Row

from mosaic_gateway.database import Pool, connect, open_pool
from mosaic_gateway.resources import ResourceRows, Searching
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.types import DatabaseLocation, User
from mosaic_migrations import CORE
from mosaic_migrations.runner import migrate
from mosaic_tier_local.account import postgres_account
from mosaic_tier_local.binaries import binaries_for
from mosaic_workspace.plugin import mosaic_migrations, mosaic_resources

ROWS = int(os.environ.get("MOSAIC_BENCH_ROWS", "100000"))
ROUNDS = 3
SECONDS = 0.4  # of one kind of search in one round
_SEED = """
INSERT INTO users (username) SELECT 'user' || n FROM generate_series(1, 50) n;
INSERT INTO teams (slug) SELECT 'team' || n FROM generate_series(1, 50) n;
INSERT INTO memberships (team_id, user_id)
SELECT t.id, u.id FROM teams t JOIN users u ON substr(t.slug, 5) = substr(u.username, 5);
"""
# Team 1 has half of the rows, team 2 a fiftieth, the others share the rest; one word of rows is rare, one in a tenth
# of them, one in all.
_TASKS = """
INSERT INTO tasks (owner_id, team_id, title, body, created_at)
SELECT (SELECT id FROM users WHERE username = 'user1'),
       (SELECT array_agg(id ORDER BY length(slug), slug) FROM teams)
           [CASE WHEN n % 2 = 0 THEN 1 WHEN n % 50 = 1 THEN 2 ELSE 3 + n % 48 END],
       'Task ' || n || ' common' || CASE WHEN n % 10 < 2 THEN ' frequent' ELSE '' END
           || CASE WHEN n % 5000 < 2 THEN ' rare' ELSE '' END,
       repeat('word' || n % 1000 || ' ', 20), now() - n * interval '1 second'
FROM generate_series(1, $1::bigint) n
"""
_BY_HAND = """
SELECT json_build_object('items', json_agg(p))::text FROM (
    SELECT id, owner_id, team_id, external_id, created_at, updated_at, version, title, body, status, priority, due_at,
           completed_at, tags, rank
    FROM (
        SELECT r.*, ts_rank(r.search_vector, q.query) AS rank
        FROM (SELECT websearch_to_tsquery('english', $1) AS query) q, tasks r
        WHERE r.search_vector @@ q.query
          AND (r.team_id IS NULL AND r.owner_id = $2
               OR r.team_id IN (SELECT m.team_id FROM memberships m WHERE m.user_id = $2))
        ORDER BY r.created_at DESC, r.id DESC LIMIT 5000
    ) r
    ORDER BY rank DESC, created_at DESC, id DESC LIMIT 50
) p
"""
Search = Callable[[], Awaitable[Any]]


async def measure() -> list[Row]:
    with ExitStack() as stack:
        location = await asyncio.to_thread(stack.enter_context, _postgres())
        await _seed(location)
        return await _measured(location)


async def _measured(location: DatabaseLocation) -> list[Row]:
    async with open_pool(location) as pool:
        rows = ResourceRows(pool, list(mosaic_resources()), lambda: [b"k" * 32], None, Searching())
        bare = await connect(location)
        table = []
        for name, share in (("user1", "half"), ("user2", "2 %"), ("user3", "1 %")):
            viewer = User(await pool.fetchval("SELECT id FROM users WHERE username = $1", name), name)
            for word in ("rare", "frequent", "common"):
                ours, raw, by_hand = await _rounds(rows, pool, bare, viewer, word)
                what = f"search {ROWS:,}, {share} visible, {word} word"
                table.append(Row(f"{what}: same SQL raw", "/s", ours, raw))
                table.append(Row(f"{what}: by hand", "/s", ours, by_hand))
        await bare.close()
        return table


class _Heard:
    """A database that tells which statement it was asked."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        self.query, self.args = query, args
        return await self._pool.fetch(query, *args)


async def _rounds(rows: ResourceRows, pool: Pool, bare: Any, viewer: User, word: str) -> list[float]:
    heard = _Heard(pool)
    listening = ResourceRows(cast(Any, heard), list(mosaic_resources()), lambda: [b"k" * 32])
    await listening.search(viewer, "tasks", {"q": word})

    async def ours() -> None:
        await rows.search(viewer, "tasks", {"q": word})

    async def raw() -> None:
        await bare.fetch(heard.query, *heard.args)

    async def by_hand() -> None:
        await bare.fetchval(_BY_HAND, word, viewer.id)

    speeds: dict[Search, list[float]] = {ours: [], raw: [], by_hand: []}
    for number in range(ROUNDS + 1):
        for search, found in speeds.items():
            speed = await _speed(search)
            if number:  # the first round warms up
                found.append(speed)
    return [median(found) for found in speeds.values()]


async def _speed(search: Search) -> float:
    start = time.perf_counter()
    done = 0
    while (passed := time.perf_counter() - start) < SECONDS or done < 2:
        await search()
        done += 1
    return done / passed


async def _seed(location: DatabaseLocation) -> None:
    connection = await _connected(location)
    await migrate(connection, [CORE, *(one for one in mosaic_migrations() if not one.needs_vector)])
    await connection.execute(_SEED)
    await connection.execute(_TASKS, ROWS, timeout=3600)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


@contextmanager
def _postgres() -> Iterator[DatabaseLocation]:
    """The local tier's server, on a socket of its own."""
    with tempfile.TemporaryDirectory(prefix="mosaic-bench-", dir="/tmp") as home:
        account = postgres_account(None, Path(home))
        binaries = asyncio.run(binaries_for(account))
        os.chown(home, account.uid, account.gid)

        def command(program: str, *options: str) -> list[str]:
            return account.command(binaries / program, "-D", f"{home}/data", *options)

        initdb = command("initdb", "-U", "mosaic", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        subprocess.run(initdb, cwd=home, check=True, stdout=subprocess.DEVNULL)
        options = ("-k", home, "-c", "listen_addresses=", "-c", "shared_buffers=512MB", "-F")
        server = subprocess.Popen(command("postgres", *options), cwd=home, stderr=subprocess.DEVNULL)
        try:
            while not Path(home, ".s.PGSQL.5432.lock").exists() and server.poll() is None:
                time.sleep(0.05)
            yield DatabaseLocation(host=home, user="mosaic", database="postgres")
        finally:
            server.send_signal(signal.SIGINT)  # a fast shutdown
            server.wait(20)


async def _connected(location: DatabaseLocation) -> Any:
    while True:
        try:
            return await connect(location)
        except Unavailable:  # it is starting up
            await asyncio.sleep(0.05)
