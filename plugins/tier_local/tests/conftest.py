from __future__ import annotations

import asyncio
import os
import pwd
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from folders import remove
from mosaic_hookspecs.types import DatabaseLocation
from mosaic_tier_local.server import postmaster
from mosaic_tier_local.settings import Settings
from mosaic_tier_local.storage import EmbeddedStorage

ROOT = os.geteuid() == 0
HOLDER = Path(__file__).parent / "holder.py"


@asynccontextmanager
async def _connected(location: DatabaseLocation, **changes: str) -> AsyncIterator[asyncpg.Connection]:
    asked = {"host": location.host, "user": location.user, "database": location.database} | changes
    conn = await asyncpg.connect(port=location.port, timeout=10, **asked)
    try:
        yield conn
    finally:
        with suppress(OSError):  # tests kill what it is connected to
            await conn.close(timeout=5)


@pytest.fixture
def connected() -> Callable[..., object]:
    return _connected


@pytest.fixture
def storage(data_dir: Path) -> EmbeddedStorage:
    return EmbeddedStorage(data_dir, Settings())


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Not made yet, and as root below a directory that no other user may enter."""
    return tmp_path / "data"


@dataclass
class Holder:
    """A gateway or a command in a process of its own."""

    process: subprocess.Popen[str]
    data_dir: Path

    def said(self) -> str:
        """``open <host>`` or ``refused <error>``."""
        return self.process.stdout.readline().strip()

    def location(self) -> DatabaseLocation:
        said = self.said()
        assert said.startswith("open "), said
        return DatabaseLocation(host=said.removeprefix("open "), user="gateway", database="mosaic")

    def leave(self) -> int:
        self.process.stdin.close()
        return self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)


@dataclass(frozen=True)
class Person:
    """An OS user who runs gateways, with a directory of their own."""

    name: str
    home: Path
    python: list[str]

    @property
    def data_dir(self) -> Path:
        return self.home / "data"


def _python_for(name: str) -> list[str] | None:
    """A Python of our version that the user can run, with our packages; None if there is none."""
    ours = os.pathsep.join(path for path in sys.path if path and not path.startswith(sys.base_prefix))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        command = ["setpriv", "--reuid", name, "--regid", str(_group(name)), "--clear-groups"]
        command += ["env", f"PYTHONPATH={ours}", python]
        probe = [*command, "-c", "import mosaic_tier_local.storage"]
        if subprocess.run(probe, cwd="/", check=False, capture_output=True).returncode == 0:
            return command
    return None


def _group(name: str) -> int:
    return pwd.getpwnam(name).pw_gid


@pytest.fixture(params=["root", "ordinary"] if ROOT else ["ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    me = pwd.getpwuid(os.geteuid()).pw_name
    name = "nobody" if ROOT and request.param == "ordinary" else me
    python = [sys.executable] if name == me else _python_for(name)
    if python is None:
        pytest.skip(f"{name} can run no Python of this version")
    home = Path(tempfile.mkdtemp(prefix="mosaic-test-"))
    os.chown(home, pwd.getpwnam(name).pw_uid, _group(name))
    yield Person(name, home, python)
    remove(home)


@pytest.fixture
def hold() -> Iterator[Callable[..., Holder]]:
    holders: list[Holder] = []

    def start(data_dir: Path, *options: str, person: Person | None = None) -> Holder:
        python = person.python if person else [sys.executable]
        command = [*python, str(HOLDER), str(data_dir), *options]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")
        holders.append(Holder(process, data_dir))
        return holders[-1]

    yield start
    for holder in holders:
        if holder.process.poll() is None:
            holder.leave()
        holder.process.stdin.close()
        holder.process.stdout.close()


def _postgres_pid(data_dir: Path) -> int | None:
    running = postmaster(data_dir / "postgres")
    return running[0] if running else None


@pytest.fixture
def postgres_pid() -> Callable[[Path], int | None]:
    return _postgres_pid


@pytest.fixture
def eventually() -> Callable[..., object]:
    async def wait(condition: Callable[[], object], within: float = 60) -> object:
        deadline = time.monotonic() + within
        while not (value := condition()):
            assert time.monotonic() < deadline, "it never happened"
            await asyncio.sleep(0.01)
        return value

    return wait


def _lives(pid: int) -> bool:
    """False for a zombie, too: not every container has an init that reaps."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def lives() -> Callable[[int], bool]:
    return _lives
