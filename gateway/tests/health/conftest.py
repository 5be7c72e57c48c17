"""Real servers, each with what goes wrong: Debian's Postgres (passwords, TLS, no pgvector), and the embedded one."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from folders import remove
from free_ports import free_port
from mosaic_gateway.testing.prepared import new_folder
from mosaic_hookspecs.types import DatabaseLocation
from mosaic_tier_local.account import Account, postgres_account
from mosaic_tier_local.binaries import binaries_for

PASSWORD = "p@ss/w:rd?#'\"%41 é"

#: Which database lets whom in, and how.
HBA = """\
local      all        all                    trust
local      replication all                   trust
hostssl    tls_only   all   127.0.0.1/32     scram-sha-256
hostnossl  plain_only all   127.0.0.1/32     scram-sha-256
hostssl    cert_only  all   127.0.0.1/32     cert
host       trusted    all   127.0.0.1/32     trust
host       nobody     all   127.0.0.1/32     reject
host       by_ident   all   127.0.0.1/32     ident
host       mosaic,gone,closed,postgres all 127.0.0.1/32 scram-sha-256
host       mosaic     all   ::1/128          scram-sha-256
"""


@dataclass(frozen=True)
class Cluster:
    """A Postgres of a test's own, and how its superuser and an ordinary role reach it."""

    home: Path
    port: int
    account: Account
    binaries: Path

    @property
    def superuser(self) -> DatabaseLocation:
        return DatabaseLocation(host=str(self.home), port=self.port, user="postgres", database="postgres")

    @property
    def location(self) -> DatabaseLocation:
        return DatabaseLocation("127.0.0.1", "gateway", "mosaic", self.port, PASSWORD)

    def sql(self, *statements: str, database: str = "postgres") -> None:
        async def run() -> None:
            own = replace(self.superuser, database=database)
            conn = await asyncpg.connect(host=own.host, port=own.port, user=own.user, database=own.database)
            for statement in statements:
                await conn.execute(statement)
            await conn.close()

        asyncio.run(run())

    def write(self, name: str, content: bytes) -> None:
        """Put a file of the server's own into its data directory."""
        path = self.home / "data" / name
        path.write_bytes(content)
        path.chmod(0o600)
        os.chown(path, self.account.uid, self.account.gid)

    def use_certificate(self, name: str) -> None:
        """Serve another certificate from now on."""
        files = (
            f"ALTER SYSTEM SET ssl_cert_file = '{name}.crt'",
            f"ALTER SYSTEM SET ssl_key_file = '{name}.key'",
        )
        self.sql(*files, "SELECT pg_reload_conf()")
        while self._certificate() != f"{name}.crt":
            time.sleep(0.02)

    def _certificate(self) -> str:
        """What a server process that is made now has from its parent."""
        ask = self.command("psql", "-h", str(self.home), "-p", str(self.port), "-U", "postgres", "-Atc")
        return subprocess.run(
            [*ask, "SHOW ssl_cert_file"], cwd=self.home, check=True, capture_output=True, text=True
        ).stdout.strip()

    def command(self, program: str, *options: str) -> list[str]:
        return self.account.command(self.binaries / program, *options)


@contextmanager
def _cluster(
    binaries: Path, *, hba: str, settings: dict[str, str], files: dict[str, bytes]
) -> Iterator[Cluster]:
    """Make and run a cluster; stop and remove it at the end."""
    home = new_folder()
    account = postgres_account(None, home)
    shutil.chown(home, account.uid, account.gid)
    made = Cluster(home, free_port(), account, binaries)
    initdb = made.command(
        "initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"
    )
    try:
        subprocess.run(initdb, cwd=home, check=True, stdout=subprocess.DEVNULL)
        for name, content in {"pg_hba.conf": hba.encode(), **files}.items():
            made.write(name, content)
        with _postgres(made, "data", made.port, settings) as process:
            _until_ready(made, made.port, process)
            yield made
    finally:
        remove(home)


@contextmanager
def _postgres(
    made: Cluster, data: str, port: int, settings: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server of the cluster, and end it at once."""
    settings = {"port": str(port), "unix_socket_directories": str(made.home), "fsync": "off", **settings}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (made.home / f"log-{port}").open("wb") as log:
        server = made.command("postgres", "-D", data, *options)
        process = subprocess.Popen(server, cwd=made.home, stderr=log, stdout=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(60)


def _until_ready(made: Cluster, port: int, process: subprocess.Popen[bytes] | None) -> None:
    async def ask() -> None:
        await (
            await asyncpg.connect(host=str(made.home), port=port, user="postgres", database="postgres")
        ).close()

    def answers() -> bool:
        try:
            asyncio.run(ask())
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    _until(answers, process)


def _until(true: Callable[[], bool], process: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert process is None or process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server did not answer within a minute"
        time.sleep(0.05)


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def certificate(name: str, *, days: int = 30) -> tuple[bytes, bytes]:
    """A self-signed server certificate and its key, PEM; with negative days one that has expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    try:
        san: x509.GeneralName = x509.IPAddress(ip_address(name))
    except ValueError:
        san = x509.DNSName(name)
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=90))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([san]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return signed.public_bytes(Encoding.PEM), private


ROLES = (
    f"CREATE ROLE gateway LOGIN PASSWORD '{PASSWORD.replace(chr(39), chr(39) * 2)}'",
    "CREATE ROLE sleeper NOLOGIN",
    "CREATE ROLE crowd LOGIN PASSWORD 'word-of-many' CONNECTION LIMIT 0",
    "CREATE ROLE guest LOGIN PASSWORD 'guest'",
    "CREATE ROLE boss LOGIN SUPERUSER PASSWORD 'boss'",
)


@pytest.fixture(scope="session")
def debian() -> Iterator[Cluster]:
    """Debian's PostgreSQL 15: SSL, password authentication, no pgvector."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("needs a Postgres server: apt-get install postgresql")
    chain, key = certificate("127.0.0.1")
    files = {"server.crt": chain, "server.key": key, "root.crt": chain}
    settings = {
        "listen_addresses": "localhost",
        "ssl": "on",
        "ssl_ca_file": "root.crt",
        "max_connections": "40",
        "wal_level": "replica",
    }
    with _cluster(found[-1].parent, hba=HBA, settings=settings, files=files) as made:
        owned = ("mosaic", "tls_only", "plain_only", "cert_only", "trusted", "nobody", "by_ident")
        made.sql(
            *ROLES,
            *(f"CREATE DATABASE {name} OWNER gateway" for name in owned),
            "CREATE DATABASE closed",
            "REVOKE CONNECT ON DATABASE closed FROM PUBLIC",
        )
        yield made


@pytest.fixture(scope="session")
def embedded() -> Iterator[Cluster]:
    """The embedded PostgreSQL over TCP: pgvector, built without SSL."""
    hba = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
    binaries = asyncio.run(binaries_for(postgres_account(None, Path("/tmp/none"))))
    with _cluster(binaries, hba=hba, settings={"listen_addresses": "127.0.0.1"}, files={}) as made:
        made.sql(
            *ROLES, "CREATE DATABASE mosaic OWNER gateway", "CREATE DATABASE old", "CREATE DATABASE hidden"
        )
        yield made


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield int(sock.getsockname()[1])


@pytest.fixture(scope="session")
def standby(debian: Cluster) -> Iterator[DatabaseLocation]:
    """A hot standby of the Debian server."""
    port = free_port()
    with _standby(debian, "hot", port, hot_standby="on"):
        _until_ready(debian, port, None)
        yield replace(debian.location, port=port)


@pytest.fixture
def cold_standby(debian: Cluster) -> Iterator[DatabaseLocation]:
    """A standby that follows and serves nobody."""
    port = free_port()
    with _standby(debian, "cold", port, hot_standby="off"):
        yield replace(debian.location, port=port)


@contextmanager
def _standby(made: Cluster, data: str, port: int, *, hot_standby: str) -> Iterator[None]:
    copy = made.command("pg_basebackup", "-h", str(made.home), "-p", str(made.port), "-U", "postgres")
    subprocess.run([*copy, "-D", data, "-R", "-c", "fast"], cwd=made.home, check=True, capture_output=True)
    settings = {"listen_addresses": "127.0.0.1", "max_connections": "40", "hot_standby": hot_standby}
    with _postgres(made, data, port, settings) as process:
        _until(lambda: _listens(port), process)
        yield


@pytest.fixture
def expired(debian: Cluster) -> Iterator[Cluster]:
    """The Debian server with a certificate that has expired."""
    chain, key = certificate("127.0.0.1", days=-1)
    for name, content in (("expired.crt", chain), ("expired.key", key)):
        debian.write(name, content)
    debian.use_certificate("expired")
    yield debian
    debian.use_certificate("server")


@pytest.fixture
def frozen(debian: Cluster) -> Iterator[DatabaseLocation]:
    """The Debian server, stopped in the middle of its work."""
    pid = int((debian.home / "data" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(pid, signal.SIGSTOP)
    yield debian.location
    os.kill(pid, signal.SIGCONT)
