"""Search of 100,000 tasks as far as a viewer sees them, against the same statement without the viewer's conditions.

`MOSAIC_BENCH_ROWS=1000000` searches a million. Up to 100,000 there are vectors too: their index of a million takes
longer to make than all the rest. Both sides find the same rows, each on a connection of its own, so what is compared
is the price of the conditions: for a user behind the first wall, for a peer behind both. By hand it is searched in a
copy of the table, whose words and their index know no viewer. What the gateway adds,
parsing and the pool, is compared with the user's statement on a connection. Processor time is counted:
what else runs on the machine then matters little.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal, cast
from uuid import uuid4

from tests.bench import Row

from mosaic_gateway.database import connect, open_pool
from mosaic_gateway.resources import ResourceRows, Searching, build_wall
from mosaic_gateway.resources.search import vector_text
from mosaic_gateway.resources.search_query import MODES, Mode, parse_search
from mosaic_gateway.resources.table import Table
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.scope import Scope
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import DatabaseLocation, GrantView, User, Viewer
from mosaic_migrations import CORE
from mosaic_migrations.runner import migrate
from mosaic_migrations.vector import create_vector
from mosaic_tier_local.account import postgres_account
from mosaic_tier_local.binaries import binaries_for
from mosaic_workspace.plugin import mosaic_migrations, mosaic_resources

ROWS = int(os.environ.get("MOSAIC_BENCH_ROWS", "100000"))
SECONDS = 3.0  # of all sides of one kind of search together, and at least three rounds
_EMBEDDED = 100_000  # rows, up to which they have vectors
_sql = load_queries("tests.bench", "search.sql")
_RESOURCES = list(mosaic_resources())
_TASKS = Table(next(one for one in _RESOURCES if one.name == "tasks"))
_KINDS: Sequence[tuple[str, str, str, Mode]] = (
    ("user1", "half visible, rare word", "arare", "text"),
    ("user1", "half visible, common word", "acommon", "text"),
    ("user1", "half visible, phrase", '"green light"', "text"),
    ("user1", "half visible, prefix", "begin*", "text"),
    ("user1", "half visible, meaning", "anything", "vector"),
    ("user1", "half visible, both", "begin3", "hybrid"),
    ("user2", "2 % visible, rare word", "brare", "text"),
    ("user2", "2 % visible, common word", "bcommon", "text"),
)
Search = Callable[[], Awaitable[Any]]


class _Fixed:
    """An embedder that takes no time: its own is none of the search's."""

    name, model, dimensions, similarity = "fixed", "fixed/1", 384, 0.0

    async def embed(
        self, texts: Sequence[str], *, kind: Literal["row", "query"]
    ) -> Sequence[Sequence[float]]:
        return [[(7 * n % 13 - 6) / 6 for n in range(384)] for _ in texts]


class _Heard:
    """A connection that tells which statement it was asked."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        self.query, self.args = query, args
        return cast(list[Any], await self._connection.fetch(query, *args))


@dataclass
class _Sides:
    """Whom a search is asked as."""

    gateway: ResourceRows
    server: int  # process id of the one connection of the gateway
    searching: Searching
    raw: Any
    user: Any
    peer: Any

    async def statement(self, connection: Any, viewer: Viewer, params: Mapping[str, str]) -> Search:
        """The gateway's statement of a search, asked on the connection."""
        heard: Any = _Heard(connection)
        behind = ResourceRows(heard, _RESOURCES, lambda: [b"k" * 32], heard, self.searching)
        await behind.search(viewer, "tasks", params)
        return lambda: connection.fetch(heard.query, *heard.args)

    async def compared(
        self, what: str, viewer: User, view: GrantView, params: Mapping[str, str]
    ) -> list[Row]:
        query, values = await _by_hand(params)
        raw, user, peer = [one.get_server_pid() for one in (self.raw, self.user, self.peer)]
        speeds = await _speeds(
            {
                "raw": (raw, lambda: self.raw.fetch(query, *values)),
                "user": (user, await self.statement(self.user, viewer, params)),
                "peer": (peer, await self.statement(self.peer, view, params)),
                "gateway": (self.server, lambda: self.gateway.search(viewer, "tasks", params)),
            }
        )
        what = f"search {ROWS:,}, {what}"
        return [
            Row(f"{what}: a user's against raw", "/s", speeds["user"], speeds["raw"]),
            Row(f"{what}: a peer's against raw", "/s", speeds["peer"], speeds["raw"]),
            Row(f"{what}: by the gateway against a user's", "/s", speeds["gateway"], speeds["user"]),
        ]


async def measure() -> list[Row]:
    with ExitStack() as stack:
        location = await asyncio.to_thread(stack.enter_context, _postgres())
        return await _measured(location, await _seed(location))


async def _measured(location: DatabaseLocation, peer_role: str) -> list[Row]:
    embedded = ROWS <= _EMBEDDED
    searching = Searching("english", _Fixed(), frozenset({"tasks"} if embedded else ()))
    async with open_pool(location, size=1) as pool:
        rows = ResourceRows(pool, _RESOURCES, lambda: [b"k" * 32], None, searching)
        connections = [await connect(location, role=role) for role in (None, None, peer_role)]
        sides, table = (
            _Sides(rows, await pool.fetchval("SELECT pg_backend_pid()"), searching, *connections),
            [],
        )
        await sides.raw.execute("SELECT set_config('hnsw.ef_search', '100', false)")
        for name, what, words, mode in _KINDS:
            if embedded or mode == "text":
                viewer = User(await pool.fetchval("SELECT id FROM users WHERE username = $1", name), name)
                scope = Scope(resources=("tasks",), include_teams="all")
                view = GrantView(uuid4(), viewer.id, scope)
                await pool.execute(_sql.grant, view.grant_id, viewer.id, scope.model_dump_json())
                table += await sides.compared(what, viewer, view, {"q": words, "mode": mode})
        for connection in connections:
            await connection.close()
        return table


async def _by_hand(params: Mapping[str, str]) -> tuple[str, list[Any]]:
    """The same search without a viewer, with its values."""
    search = parse_search(params, modes=MODES, language="english")
    found = {"text": _sql.text, "vector": _sql.vector, "hybrid": _sql.hybrid}[search.mode]
    found = found.format(text=_sql.text, vector=_sql.vector)
    [vector] = await _Fixed().embed([search.given], kind="query")
    values = [search.words, search.prefixes, *([] if search.mode == "text" else [vector_text(vector)])]
    return _sql.search.format(item=_TASKS.item, found=found), values


async def _speeds(searches: Mapping[str, tuple[int, Search]]) -> dict[str, float]:
    """Searches a second of one processor, client's and server's time together: the median of single ones in turn."""
    times: dict[str, list[float]] = {name: [] for name in searches}
    start = time.perf_counter()
    while time.perf_counter() - start < SECONDS or min(map(len, times.values())) < 4:
        for name, (server, search) in searches.items():
            begin = _processor_time(server)
            await search()
            times[name].append(_processor_time(server) - begin)
    return {
        name: 1 / median(found[min(6, len(found) // 3) :]) for name, found in times.items()
    }  # the first plan anew


def _processor_time(server: int) -> float:
    """Seconds that this process and the server's process have computed."""
    return time.process_time() + int(Path(f"/proc/{server}/schedstat").read_text().split()[0]) / 1e9


async def _seed(location: DatabaseLocation) -> str:
    """Fill the tables, and return the role of peers."""
    connection = await _connected(location)
    sets = list(mosaic_migrations())
    await migrate(connection, [CORE, *(one for one in sets if not one.needs_vector)])
    await connection.execute(_sql.people)
    await connection.execute(
        "DROP INDEX tasks_search_idx"
    )  # to make one at the end takes a third of the time
    await connection.execute(_sql.tasks, ROWS, timeout=3600)
    await connection.execute("SELECT make_search_index('tasks')", timeout=3600)
    await connection.execute(_sql.plain.format(columns=", ".join(_TASKS.columns)), timeout=3600)
    if ROWS <= _EMBEDDED:
        await create_vector(connection)
        await migrate(connection, [CORE, *sets])
        [index] = await connection.fetch("SELECT pg_get_indexdef('tasks_vectors_hnsw_idx'::regclass) AS made")
        await connection.execute("DROP INDEX tasks_vectors_hnsw_idx")
        await connection.execute(_sql.vectors, timeout=3600)
        await connection.execute(index["made"], timeout=3600)
    await connection.execute("VACUUM ANALYZE", timeout=3600)
    role = await build_wall(connection, _RESOURCES)
    await connection.close()
    return role.name


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
        settings = ("shared_buffers=1500MB", "maintenance_work_mem=512MB", "max_wal_size=4GB")
        options = (
            "-k",
            home,
            "-c",
            "listen_addresses=",
            "-F",
            *(part for one in settings for part in ("-c", one)),
        )
        server = subprocess.Popen(command("postgres", *options), cwd=home, stderr=subprocess.DEVNULL)
        try:
            while not Path(home, ".s.PGSQL.5432.lock").exists() and server.poll() is None:
                time.sleep(0.05)
            yield DatabaseLocation(host=home, user="mosaic", database="postgres")
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: nothing is kept
            server.wait(20)


async def _connected(location: DatabaseLocation) -> Any:
    while True:
        try:
            return await connect(location)
        except Unavailable:  # it is starting up
            await asyncio.sleep(0.05)
