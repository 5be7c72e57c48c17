"""Gateways with rows of every kind, and servers to move them to that a test may kill."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from folders import remove
from free_ports import free_port
from mosaic_gateway.compose import compose
from mosaic_gateway.config import read_config
from mosaic_gateway.database import connect
from mosaic_gateway.testing.prepared import new_folder
from mosaic_hookspecs.postgres_url import parse_postgres_url
from mosaic_hookspecs.types import AuditEvent, DatabaseLocation
from mosaic_migrations.runner import migrate
from mosaic_migrations.tier import Report, Route, make_plan, move
from mosaic_runs import run_mosaic
from mosaic_tier_local.account import postgres_account
from mosaic_tier_local.binaries import binaries_for
from prepared import move_ports, prepare

MOSAIC = [sys.executable, "-m", "mosaic_gateway.cli"]


@dataclass
class Postgres:
    """A server on a port of this machine, with the role ``gateway`` and a password."""

    binaries: Path
    home: Path
    options: tuple[str, ...] = ("fsync=off",)
    port: int = field(default_factory=free_port)
    password: str = "s3cret-of-the-target"
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 1000)))

    def create(self) -> None:
        account = postgres_account(None, self.home)
        shutil.chown(self.home, account.uid, account.gid)
        initdb = [self.binaries / "initdb", "-D", self.home / "data", "-U", "postgres", "-N", "-E", "UTF8"]
        command = account.command(*initdb, "--locale=C", "-A", "trust")
        subprocess.run(command, cwd=self.home, check=True, stdout=subprocess.DEVNULL)
        rules = "local all all trust\nhost all gateway 127.0.0.1/32 scram-sha-256\n"
        (self.home / "data/pg_hba.conf").write_text(rules)

    def start(self) -> None:
        """Not from a helper thread: the server ends with the thread that started it."""
        account = postgres_account(None, self.home)
        options = ("listen_addresses=127.0.0.1", f"port={self.port}", *self.options)
        settings = [part for option in options for part in ("-c", option)]
        server = account.command(
            self.binaries / "postgres", "-D", self.home / "data", "-k", self.home, *settings
        )
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(server, cwd=self.home, stdout=log, stderr=log)

    async def until_ready(self) -> None:
        for _ in range(1200):  # a recovery, on a machine that does much else
            try:
                async with self.administration():
                    return
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                assert self.process.poll() is None, (self.home / "log").read_text()
                await asyncio.sleep(0.05)
        raise AssertionError("Postgres is not ready after a minute")

    def kill(self) -> None:
        """As the kernel does it when memory is short."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)

    @asynccontextmanager
    async def administration(self, database: str = "postgres") -> AsyncIterator[asyncpg.Connection]:
        conn = await asyncpg.connect(
            host=str(self.home), port=self.port, user="postgres", database=database, timeout=5
        )
        try:
            yield conn
        finally:
            with suppress(OSError):  # a test may have killed the server
                await conn.close(timeout=5)

    async def new_database(self, options: str = "") -> str:
        """A database of the role's own; return its URL, without a password."""
        name = f"target_{next(self.numbers)}"
        async with self.administration() as conn:
            if not await conn.fetchval("SELECT 1 FROM pg_roles WHERE rolname = 'gateway'"):
                await conn.execute(f"CREATE ROLE gateway LOGIN PASSWORD '{self.password}'")
            await conn.execute(f"CREATE DATABASE {name} OWNER gateway {options}")
        return f"postgresql://gateway@127.0.0.1:{self.port}/{name}"

    def location(self, url: str) -> DatabaseLocation:
        return parse_postgres_url(url).location(self.password)

    @asynccontextmanager
    async def database(self, url: str) -> AsyncIterator[asyncpg.Connection]:
        conn = await connect(self.location(url))
        try:
            yield conn
        finally:
            await conn.close(timeout=5)

    async def content(self, url: str) -> dict[str, str]:
        async with self.database(url) as conn:
            return await content(conn)

    async def structure(self, url: str) -> list[str]:
        async with self.database(url) as conn:
            return await structure(conn)


def _server(binaries: Path) -> Iterator[Postgres]:
    home = new_folder()
    server = Postgres(binaries, home)
    server.create()
    server.start()
    asyncio.run(server.until_ready())
    yield server
    server.stop()
    remove(home)


@pytest.fixture(scope="session")
def debian() -> Iterator[Postgres]:
    """Debian's own Postgres, the newest there is, without pgvector: what a team runs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    assert found, "apt-get install postgresql"
    yield from _server(found[-1].parent)


@pytest.fixture(scope="session")
def with_vector() -> Iterator[Postgres]:
    """A server with pgvector, as the federated tier wants it; the role may create the extension."""
    yield from _server(asyncio.run(binaries_for(postgres_account(None, Path("/")))))


def make_plugin(root: Path, name: str, *, tables: str, vectors: str = "") -> None:
    """A plugin as an author would ship it, found by those who have ``root`` on their path."""
    package = root / name
    for part, text in (("tables", tables), ("vectors", vectors)):
        (package / part).mkdir(parents=True)
        (package / part / "0001_all.pre.sql").write_text(text or "SELECT 1")
        (package / part / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(_PLUGIN.format(name=name))
    about = root / f"{name}-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[mosaic]\n{name} = {name}.plugin\n")
    sys.path.append(str(root))


_PLUGIN = """\
from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import MigrationSet

@hookimpl
def mosaic_migrations():
    return [
        MigrationSet("{name}", "{name}.tables"),
        MigrationSet("{name}_vectors", "{name}.vectors", needs_vector=True),
    ]
"""


@pytest.fixture(scope="session")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plugin with one table of every kind of column, and one of vectors."""
    root, here = tmp_path_factory.mktemp("plugins"), Path(__file__).parent
    tables, vectors = (here / "tables.sql").read_text(), (here / "vectors.sql").read_text()
    make_plugin(root, "sampler", tables=tables, vectors=vectors)
    return root


@dataclass
class Home:
    """A gateway's config and the commands an operator would give."""

    directory: Path
    plugins: Path
    password: str

    @property
    def config(self) -> Path:
        return self.directory / "mosaic.config.json"

    @property
    def data_dir(self) -> Path:
        return self.directory / "data"

    def command(self, *args: str) -> list[str]:
        return [*MOSAIC, "--debug", "--config", str(self.config), *args]

    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(self.plugins), "PGPASSWORD": self.password}

    def popen(self, *args: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*args), env=self.environment() | environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
            start_new_session=True,
        )  # fmt: skip

    def run(self, *args: str, code: int = 0, **environment: str) -> str:
        options = ("--debug", "--config", self.config)
        done = run_mosaic(*options, *args, env=self.environment() | environment)
        assert done.returncode == code, f"exit {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout if code == 0 else done.stdout + done.stderr

    def migrate(self, url: str, *args: str, to: str = "standalone", code: int = 0, **environment: str) -> str:
        command = ("storage", "migrate-tier", "--to", to, "--target", url, *args)
        return self.run(*command, code=code, **environment)

    def move(self, url: str, to: str = "standalone") -> dict[str, Any]:
        return dict(json.loads(self.migrate(url, "--yes", "--json", to=to)))

    async def move_here(self, target: DatabaseLocation) -> Report:
        """The move without its command, which takes longer to start than these rows to move."""
        composition = compose(read_config(self.config))
        async with composition.storage.open(serving=False) as here:
            route = Route.between(
                lambda: connect(here), lambda: connect(target), composition.migrations, vector=False
            )
            return await move(route, await make_plan(route))

    @asynccontextmanager
    async def database(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection to whatever the config names."""
        async with compose(read_config(self.config)).storage.open(serving=False) as location:
            conn = await connect(location)
            try:
                yield conn
            finally:
                await conn.close(timeout=5)

    async def content(self) -> dict[str, str]:
        async with self.database() as conn:
            return await content(conn)

    async def structure(self) -> list[str]:
        async with self.database() as conn:
            return await structure(conn)


def make_home(directory: Path, plugins: Path, password: str, *, plugin: str = "sampler") -> Home:
    home = Home(directory, plugins, password)
    prepare(directory, port=free_port(), peer_port=free_port())
    config = json.loads(home.config.read_text())
    config["plugins"][plugin] = {}
    home.config.write_text(json.dumps(config))
    home.run("user", "list")  # applies the plugin's migrations
    return home


_SAMPLES = r"""
INSERT INTO sample_parents (name) SELECT 'parent ' || n FROM generate_series(1, 50) n;
UPDATE sample_options SET value = 'changed by a user';
INSERT INTO samples (parent_id, mood, percent, exact, float, single, at, day, span, document, raw, bytes, address,
                     period, numbers, labels, note)
SELECT 1 + n % 50, (enum_range(NULL::sample_mood))[1 + n % 3], n % 100, n / 7.0, n / 7.0, n / 3.0,
       'epoch'::timestamptz + n * interval '1 hour 1 microsecond', 'epoch'::date + n, n * interval '1 month 3 s',
       jsonb_build_object('n', n, 'deep', jsonb_build_array(n, NULL, 'ü')), '{"b": 1,  "a" : 1.00}',
       decode(md5(n::text), 'hex'), ('10.0.0.' || n % 255)::inet, tstzrange(to_timestamp(n), to_timestamp(n + 1)),
       ARRAY[n, NULL, -n], ARRAY['a,b', '"', '\', 'NULL', '', 'żółw ' || n], repeat('søk 漢字 🦉 ', n % 40)
FROM generate_series(1, 3000) n;
INSERT INTO samples (mood) VALUES (NULL);
INSERT INTO samples (exact, float, single, at, day, span, numbers, labels, percent, note) VALUES
    ('NaN', 'NaN', '-Infinity', 'infinity', 'infinity', '178000000 years', '{}', '{}', 0, ''),
    (1.000, '-0', '1e-45', '-infinity', '-infinity', '-1 mons +1 day -00:00:00.000001',
     '[-1:0]={1,2}', '{{a,b},{c,NULL}}', 100.0, E'\t\r\n\\.\n\x01'),
    (1e300, 1e308, 3.4e38, '294276-12-31 23:59:59.999999+00', '5874897-12-31', '0', '{{{1}}}', '{NULL}', NULL, NULL),
    (-1e-300, 5e-324, NULL, '4714-11-24 00:00:00+00 BC', '4714-11-24 BC', NULL, NULL, NULL, 0.10, '\N');
INSERT INTO sample_pairs VALUES
    ('{happy,NULL,sad}', ROW('a "b", (c)', 'happy')), ('{}', NULL), (NULL, ROW(NULL, NULL)), ('{{ok},{sad}}', NULL);
INSERT INTO sample_grown VALUES ('k', NULL), (NULL, 'odd'), (NULL, NULL), (NULL, NULL);
SELECT setval('sample_numbers', 77, true);
"""
_WORK = """
INSERT INTO users (username) SELECT 'user' || n FROM generate_series(1, 20) n;
INSERT INTO teams (slug, name) VALUES ('crew', 'The crew – żółwie');
INSERT INTO memberships (team_id, user_id) SELECT t.id, u.id FROM teams t, users u;
INSERT INTO tasks (title, body, owner_id, team_id, tags, due_at, priority, external_id)
SELECT 'Task ' || n, repeat('word' || n || ' ', 30), u.id, CASE n % 3 WHEN 0 THEN t.id END, ARRAY['a', 'ß' || n],
       now() + n * interval '1 minute', n % 10, 'x' || n
FROM generate_series(1, 4000) n, teams t, (SELECT id FROM users LIMIT 1) u;
INSERT INTO notes (title, body, owner_id)
SELECT 'Large ' || n, (SELECT string_agg(md5((n * 1000000 + m)::text), ' ') FROM generate_series(1, 320000) m), u.id
FROM generate_series(1, 3) n, (SELECT id FROM users LIMIT 1) u;
"""
_VECTORS = """
INSERT INTO sample_vectors
SELECT n, ARRAY[n, n + 1, 1, 2, 3, 4, 5.5, 0.1 * n]::real[]::vector, ARRAY['[1,2,3]'::vector, NULL]
FROM generate_series(1, 2000) n
"""
_CONTENT = """
SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE "C")), '')
FROM {} AS t
"""
_STRUCTURE = """
SELECT pg_get_indexdef(i.indexrelid) || indisvalid::text FROM pg_index i JOIN pg_class c ON c.oid = indrelid
WHERE relnamespace = 'mosaic'::regnamespace
UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated)
FROM pg_constraint WHERE connamespace = 'mosaic'::regnamespace
UNION ALL SELECT pg_get_triggerdef(t.oid) || tgenabled::text FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
WHERE relnamespace = 'mosaic'::regnamespace AND NOT tgisinternal
UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'mosaic'::regnamespace
UNION ALL SELECT relname || relkind::text FROM pg_class WHERE relnamespace = 'mosaic'::regnamespace
UNION ALL SELECT concat_ws(' ', attrelid::regclass, attname, atttypid::regtype, attnotnull, attidentity,
                           attgenerated, pg_get_expr(adbin, adrelid))
FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
LEFT JOIN pg_attrdef d ON adrelid = attrelid AND adnum = attnum
WHERE relnamespace = 'mosaic'::regnamespace AND relkind IN ('r', 'v') AND attnum > 0 AND NOT attisdropped
ORDER BY 1
"""


async def fill(conn: asyncpg.Connection, *, vectors: bool = False, words: int = 320_000) -> None:
    """Rows of every kind, three notes of so many words (33 bytes each), an audit log with a valid chain."""
    from mosaic_audit.chain import Chain
    from mosaic_hookspecs.sql import load_queries

    await conn.execute(_WORK.replace("320000", str(words)))
    await conn.execute(_SAMPLES)
    if vectors:
        await conn.execute(_VECTORS)
    chain, entries, then = Chain.new(), [], datetime.now(UTC) - timedelta(days=40)
    await conn.execute("SELECT federation_audit_log_cover($1)", then)  # a partition that no migration makes
    for number in range(500):
        event = AuditEvent("peer", None, uuid4(), "ab", "list", "tasks", "0" * 64, "ok", number, 1, 1, "r")
        entries.append(chain.append(event, then if number < 200 else datetime.now(UTC)))
        chain = chain.after(entries[-1])
    columns = [[getattr(e, name) for e in entries] for name in ("payload", "prev", "hash")]
    await conn.execute(load_queries("mosaic_audit", "queries.sql").append, *columns)


async def content(conn: asyncpg.Connection) -> dict[str, str]:
    """What every table and sequence holds, told in another way than the tool's."""
    names = await conn.fetch(
        "SELECT oid::regclass::text AS name, relkind FROM pg_class"
        " WHERE relnamespace = 'mosaic'::regnamespace AND relkind IN ('r', 'S')"
    )
    found = {
        r["name"]: await conn.fetchval(_CONTENT.format(r["name"])) for r in names if r["relkind"] == b"r"
    }
    for name in (r["name"] for r in names if r["relkind"] == b"S"):
        found[name] = str(tuple(await conn.fetchrow(f"SELECT last_value, is_called FROM {name}")))
    return found


async def structure(conn: asyncpg.Connection) -> list[str]:
    """Indexes, constraints, triggers, functions, columns and relations as text."""
    return [row[0] for row in await conn.fetch(_STRUCTURE)]


def _filled(directory: Path, plugins: Path, *, words: int) -> Home:
    home = make_home(directory, plugins, Postgres.password)

    async def work() -> None:
        async with home.database() as conn:
            await fill(conn, words=words)

    asyncio.run(work())
    return home


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, sampler: Path) -> Home:
    """A local gateway with rows of every kind and notes of 10 MB. Tests only read it: so does the tool."""
    return _filled(tmp_path_factory.mktemp("filled") / "home", sampler, words=320_000)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, sampler: Path) -> Home:
    """The same with small notes, to be moved many times."""
    return _filled(tmp_path_factory.mktemp("small") / "home", sampler, words=10_000)


@pytest.fixture
def changing(tmp_path: Path, small: Home) -> Home:
    """A copy of that, which a test may change."""
    home = replace(small, directory=tmp_path / "home")
    subprocess.run(["cp", "-a", small.directory, home.directory], check=True)
    move_ports(home.config, free_port(), free_port())
    return home


@pytest.fixture(scope="module")
def victim() -> Iterator[Postgres]:
    """A target server that a test may kill. What a killed process had written, the system still has: no fsync."""
    yield from _server(asyncio.run(binaries_for(postgres_account(None, Path("/")))))


@pytest.fixture(scope="session")
def standalone(tmp_path_factory: pytest.TempPathFactory, sampler: Path, with_vector: Postgres) -> Home:
    """A gateway of the standalone tier whose Postgres has pgvector, with rows of every kind and vectors."""
    home = make_home(tmp_path_factory.mktemp("standalone") / "home", sampler, Postgres.password)
    config = json.loads(home.config.read_text())
    url = asyncio.run(with_vector.new_database())
    secret = home.directory / "password"
    secret.write_text(Postgres.password)
    secret.chmod(0o600)
    config |= {
        "tier": "standalone",
        "storage": {"url": url, "password_file": str(secret), "enable_vector": True},
    }
    home.config.write_text(json.dumps(config))

    async def work() -> None:
        async with with_vector.administration(url.rsplit("/", 1)[1]) as conn:
            await conn.execute("CREATE EXTENSION vector")
        composition = compose(read_config(home.config))
        async with home.database() as conn:
            await migrate(conn, composition.migrations, vector=True)
            await fill(conn, vectors=True, words=10_000)

    asyncio.run(work())
    return home
