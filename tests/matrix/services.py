"""What the tiers with services of their own run on: one Postgres with pgvector and one Valkey for all rows."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any

import asyncpg
from tests.matrix.rows import Row
from tests.matrix.wheels import ROOT
from tests.shared.free_ports import free_port

from mosaic_tier_local.account import postgres_account
from mosaic_tier_local.binaries import binaries_for

PATIENCE = 60.0  # seconds until one is up
_DATABASES = 16  # of a Valkey as it comes


class Services:
    """Gives each row a database of its own in both."""

    def __init__(self, postgres: int, socket: Path, valkey: int | None) -> None:
        self._postgres, self._socket, self._valkey = postgres, socket, valkey
        self._numbers, self._lock = count(1), Lock()

    def missing(self, row: Row) -> str:
        """What the row needs and this machine has not, or nothing."""
        if row.tier not in (None, "local") and not self._valkey:
            return "there is no valkey-server or redis-server here"
        if needs_authority(row) and not step_ca():
            return "step-ca cannot be built here: see .tools/step-ca.log"
        return ""

    def config(self) -> dict[str, Any]:
        """The tables ``storage`` and ``queue``."""
        with self._lock:
            number = next(self._numbers)
        asyncio.run(_execute(self._socket, self._postgres, f"CREATE DATABASE row_{number}"))
        postgres = f"postgresql://postgres@:{self._postgres}/row_{number}?host={self._socket}"
        valkey = f"redis://127.0.0.1:{self._valkey}/{number % _DATABASES}"
        return {"storage": {"url": postgres}, "queue": {"url": valkey}}


def needs_authority(row: Row) -> bool:
    """Peers are served only by who has a certificate, and step-ca is a server of its own."""
    return (
        "step_ca" in row.plugins
        and "boot" in row.steps
        and ("federation" in row.plugins or row.tier == "federated")
    )


@cache
def step_ca() -> Path | None:
    """The program that `.ci/step-ca` builds once, or has built."""
    done = subprocess.run([ROOT / ".ci" / "step-ca"], stdout=subprocess.PIPE, text=True, check=False)
    return Path(done.stdout.strip()) if done.returncode == 0 else None


@contextmanager
def services() -> Iterator[Services]:
    """Both, until left. Enter from the main thread: Postgres ends with the thread that started it."""
    home = Path(tempfile.mkdtemp(prefix="mosaic-matrix-", dir="/tmp"))  # short: a socket's path has 107 bytes
    account = postgres_account(None, home)
    shutil.chown(home, account.uid, account.gid)
    binaries = asyncio.run(binaries_for(account))
    port = free_port()

    def postgres(program: str, *options: str) -> list[str]:
        return account.command(binaries / program, "-D", home / "data", *options)

    quiet: dict[str, Any] = {"cwd": home, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    initdb = postgres("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
    subprocess.run(initdb, check=True, **quiet)
    server = postgres("postgres", "-F", "-k", str(home), "-p", str(port), "-c", "listen_addresses=")
    processes = [subprocess.Popen(server, **quiet)]
    try:
        _until(lambda: asyncio.run(_execute(home, port, "SELECT 1")))
        valkey = _valkey(processes)
        yield Services(port, home, valkey)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)
        shutil.rmtree(home)


def _valkey(processes: list[subprocess.Popen[bytes]]) -> int | None:
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        return None
    port = free_port()
    command = [
        program,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--databases",
        str(_DATABASES),
    ]
    processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd="/"))
    return port  # a gateway waits for it by itself


async def _execute(socket: Path, port: int, statement: str) -> None:
    connection = await asyncpg.connect(host=str(socket), port=port, user="postgres", database="postgres")
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _until(attempt: Callable[[], None]) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return attempt()
        except (OSError, asyncpg.PostgresError):
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
