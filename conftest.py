"""What tests of every member share: a throw-away Postgres, and a fresh, migrated database in it per test."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from folders import remove
from free_ports import free_port
from mosaic_gateway.database import Pool, connect, open_pool
from mosaic_gateway.resources import build_wall
from mosaic_gateway.testing.prepared import new_folder, roomy_place
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import DatabaseLocation, MigrationSet, Resource
from mosaic_migrations import CORE
from mosaic_migrations.runner import migrate
from mosaic_step_ca.directory import NewAuthority, Plan, new_authority
from mosaic_step_ca.store import store_authority
from mosaic_step_ca.writing import written
from mosaic_tier_local.account import postgres_account
from mosaic_tier_local.binaries import binaries_for

_numbers = count(1)
#: Of a server whose files nobody reads once it has ended: no test kills one of these.
FLEETING = ("-F", "-c", "wal_level=minimal", "-c", "max_wal_senders=0", "-c", "autovacuum=off")


BehindWall = Callable[[Iterable[Resource]], AbstractAsyncContextManager[Pool]]


#: The files that take longest, so that no process is left alone with one at the end: each is one process's as a whole.
LONGEST = (
    *(
        "tests/docs/test_pages.py",
        "tests/tiers/test_local_gateway.py",
        "tests/security/test_enrollment_attacks.py",
    ),
    *("tests/federation/namespaces", "tests/federation/test_over_step_ca.py", "tests/faults"),
    *(
        "tests/federation",
        "tests/compose/test_gateway_image.py",
        "tests/security",
        "tests/tiers",
        "tests/workspace",
    ),
    *(
        "gateway/tests/health",
        "gateway/tests/scaffold",
        "gateway/tests/http/test_http_fuzz.py",
        "plugins/tier_local",
        "plugins/step_ca",
    ),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with those."""
    root = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        place = item.path.relative_to(root).as_posix()
        return next((i for i, start in enumerate(LONGEST) if place.startswith(start)), len(LONGEST))

    items.sort(key=rank)


def pytest_configure() -> None:
    """Have ``tmp_path`` where the kit has its gateways, in memory: they wait for the disk at each commit."""
    if not os.statvfs(roomy_place()).f_flag & os.ST_NOEXEC:  # some tests make programs
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(roomy_place()))


def pytest_collection_finish() -> None:
    """Nothing of what thousands of tests are described by goes away: the collector need not look at it again."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup() -> None:
    """Begin no test in the last minute of a day (UTC): rows are counted by the day, and kept by the month."""
    now = datetime.now(UTC)
    left = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1) - now
    if left < timedelta(minutes=1):
        time.sleep(left.total_seconds())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a missing real service is a failure, never a skip."""
    report = yield
    if report.skipped and os.environ.get("CI") and "apt-get install" in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI skips nothing that can be installed: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def postgres() -> Iterator[DatabaseLocation]:
    """Run the local tier's Postgres with a superuser and without fsync, on a Unix socket closed to others."""
    home = new_folder()
    home.chmod(0o700)
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
        server = command("postgres", "-k", str(home), "-c", "listen_addresses=", *FLEETING)
        process = subprocess.Popen(server, cwd=home, stderr=log, stdout=log)
    location = DatabaseLocation(host=str(home), user="mosaic", database="postgres")
    try:
        asyncio.run(_until_ready(location, process, home / "log"))
        yield location
    finally:
        process.send_signal(signal.SIGINT)  # a fast shutdown; SIGTERM would wait for whoever is connected
        process.wait(60)
        remove(home)


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
        await administration.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        await administration.close()
        return replace(postgres, database=name)

    return make


@pytest.fixture
def no_search() -> Iterator[None]:
    """Nobody looks for what refers to itself."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


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


@pytest.fixture
def behind_wall(postgres: DatabaseLocation, pool: Pool) -> BehindWall:
    """Build the wall of row-level security around resources, and open what peers are answered through."""

    @asynccontextmanager
    async def behind(resources: Iterable[Resource]) -> AsyncIterator[Pool]:
        location = replace(postgres, database=await pool.fetchval("SELECT current_database()"))
        connection = await connect(location)
        role = await build_wall(connection, resources)
        await connection.close()
        assert role.complete
        async with open_pool(location, role=role.name) as peers:
            yield peers

    return behind


PASSWORD = "p@ss:w/rd #1%"  # needs percent-encoding in a URL
_HBA = """\
local   all all      trust
host    all mosaic   127.0.0.1/32 scram-sha-256
"""
_HBA_OVER_TLS = """\
hostssl all tls_only 127.0.0.1/32 scram-sha-256
hostssl all by_cert  127.0.0.1/32 cert
"""


@dataclass(frozen=True)
class TcpPostgres:
    """A Postgres on TCP, as an operator runs it. Role ``mosaic`` owns its databases, and is no superuser."""

    home: Path
    port: int
    binaries: Path
    certificate: Path | None  # what its TLS certificate is verified by

    @property
    def superuser(self) -> DatabaseLocation:
        """By its socket, without a password."""
        return DatabaseLocation(host=str(self.home), port=self.port, user="postgres", database="postgres")

    def location(self, database: str, *, user: str = "mosaic") -> DatabaseLocation:
        """By TCP."""
        return DatabaseLocation(
            host="localhost", port=self.port, user=user, database=database, password=PASSWORD
        )

    def url(self, database: str, *, user: str = "mosaic", password: str = PASSWORD, **query: str) -> str:
        """The same as a URL, with parameters such as ``sslmode``."""
        secret = f":{quote(password, safe='')}" if password else ""
        parameters = f"?{urlencode(query)}" if query else ""
        return f"postgresql://{user}{secret}@localhost:{self.port}/{database}{parameters}"

    async def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as the superuser."""
        connection = await connect(replace(self.superuser, database=database))
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    async def new_database(self) -> str:
        """Make an empty database of the role ``mosaic``."""
        name = f"test_{next(_numbers)}"
        await self.execute(f"CREATE DATABASE {name} OWNER mosaic")
        return name


@pytest.fixture(scope="session")
def server_password() -> str:
    """The password of every role of the servers below."""
    return PASSWORD


@pytest.fixture(scope="session")
def server_postgres() -> Iterator[TcpPostgres]:
    """Run the system's own Postgres: with TLS, without pgvector."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("needs a Postgres server: apt-get install postgresql")
    with _tcp_postgres(found[-1].parent, tls=True) as server:
        yield server


@pytest.fixture(scope="session")
def vector_postgres() -> Iterator[TcpPostgres]:
    """Run the local tier's Postgres on TCP: with pgvector, without TLS."""
    account = postgres_account(None, Path("/tmp"))
    with _tcp_postgres(asyncio.run(binaries_for(account)), tls=False) as server:
        yield server


@contextmanager
def _tcp_postgres(binaries: Path, *, tls: bool) -> Iterator[TcpPostgres]:
    home = new_folder()
    account = postgres_account(None, home)
    port = free_port()
    options = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": str(home)}
    certificate = home / "server.crt" if tls else None
    if certificate:
        key = home / "server.key"
        _self_signed(certificate, key)
        options |= {"ssl": "on", "ssl_cert_file": str(certificate), "ssl_key_file": str(key)}
        options["ssl_ca_file"] = str(certificate)
        shutil.chown(key, account.uid, account.gid)
    shutil.chown(home, account.uid, account.gid)

    def command(program: str, *arguments: str) -> list[str]:
        return account.command(binaries / program, "-D", home / "data", *arguments)

    initdb = command("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
    subprocess.run(initdb, cwd=home, check=True, stdout=subprocess.DEVNULL)
    (home / "data" / "pg_hba.conf").write_text(_HBA + (_HBA_OVER_TLS if tls else ""))
    settings = [part for key_value in options.items() for part in ("-c", "=".join(key_value))]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            command("postgres", *FLEETING, *settings), cwd=home, stderr=log, stdout=log
        )
    server = TcpPostgres(home, port, binaries, certificate)
    try:
        asyncio.run(_until_ready(server.superuser, process, home / "log"))
        roles = [
            f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'" for role in ("mosaic", "tls_only", "by_cert")
        ]
        peers = (
            "CREATE ROLE mosaic_peer NOLOGIN",
            "GRANT mosaic_peer TO mosaic",
        )  # mosaic may not make roles
        asyncio.run(server.execute(*roles, *peers))
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        remove(home)


def _self_signed(certificate: Path, key: Path) -> None:
    """Write a certificate for localhost that is its own authority."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
    signed = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(minutes=5))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        file.write(
            private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


@dataclass(frozen=True)
class RedisServer:
    """A server of Valkey's protocol that a test may stop and start again; nothing is kept on disk."""

    port: int
    options: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Start, wait until it listens, and stop it by its process at the end."""
        program = shutil.which("valkey-server") or shutil.which("redis-server")
        if not program:
            pytest.skip("needs a Valkey or Redis server: apt-get install redis-server")
        command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *self.options]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd="/")
        try:
            while not _listens(self.port):
                assert process.poll() is None, "the server did not start"
                time.sleep(0.02)
            yield process
        finally:
            process.kill()
            process.wait(60)


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def new_redis() -> Callable[..., RedisServer]:
    """Make servers, on a free port each; a test starts them with ``running``."""

    def make(*options: str) -> RedisServer:
        return RedisServer(free_port(), options)

    return make


@pytest.fixture(scope="session")
def redis_server(new_redis: Callable[..., RedisServer]) -> Iterator[RedisServer]:
    """A server that all tests share: each takes a prefix of its own, and none flushes it."""
    server = new_redis()
    with server.running():
        yield server


@dataclass(frozen=True)
class StepCAServer:
    """A certificate authority as `mosaic federation ca init` makes it, that a test may stop and start again."""

    program: Path
    home: Path  # the directory that step-ca runs in
    port: int
    authority: NewAuthority  # its root, and the provisioners' private keys

    @property
    def url(self) -> str:
        """What gateways have as `plugins.step_ca.url`."""
        return f"https://localhost:{self.port}"

    @property
    def settings(self) -> dict[str, str]:
        """The table `plugins.step_ca` of a gateway of this authority."""
        return {"url": self.url, "fingerprint": self.authority.fingerprint}

    async def adopt(self, host: Host) -> None:
        """Give a gateway the keys by which this authority knows it."""
        async with host.database.transaction() as sql:
            new = self.authority
            await store_authority(
                sql, host.sealer, root=new.root, fingerprint=new.fingerprint, provisioners=new.provisioners
            )

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Start, wait until it listens, and stop it by its process at the end."""
        command = [self.program, "config/ca.json", "--password-file", "secrets/password"]
        with (self.home / "log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.home, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        try:
            while not _listens(self.port):
                assert process.poll() is None, (self.home / "log").read_text()
                time.sleep(0.02)
            yield process
        finally:
            process.kill()
            process.wait(60)


@pytest.fixture(scope="session")
def step_ca_program() -> Path:
    """The step-ca that `.ci/step-ca` built."""
    done = subprocess.run(
        [Path(__file__).parent / ".ci" / "step-ca"], stdout=subprocess.PIPE, text=True, check=True
    )
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def new_step_ca(step_ca_program: Path) -> Iterator[Callable[[], StepCAServer]]:
    """Make authorities, on a free port each; a test starts them with ``running``."""
    homes: list[Path] = []

    def make() -> StepCAServer:
        port = free_port()
        homes.append(Path(tempfile.mkdtemp(prefix="mosaic-ca-", dir="/tmp")))
        plan = Plan("work", f"https://localhost:{port}", ("localhost", "127.0.0.1"), f"127.0.0.1:{port}", 24)
        new = new_authority(plan)
        with written(new, homes[-1] / "ca", homes[-1] / "root"):
            return StepCAServer(step_ca_program, homes[-1] / "ca", port, new)

    yield make
    for home in homes:
        remove(home)


@pytest.fixture(scope="session")
def step_ca(new_step_ca: Callable[[], StepCAServer]) -> Iterator[StepCAServer]:
    """A running authority that all tests share: each takes a gateway, and a grant, of its own."""
    server = new_step_ca()
    with server.running():
        yield server
