"""A running Postgres: started, watched, started again if it dies, and stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from mosaic_hookspecs.errors import MosaicError, Unavailable
from mosaic_tier_local.account import Account
from mosaic_tier_local.binaries import environment
from mosaic_tier_local.cluster import HERE
from mosaic_tier_local.locks import FileLock, becomes_true

logger = logging.getLogger("mosaic.tier_local")

PORT = 5432  # part of the socket's file name; there is no TCP
SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "wal_level": "minimal",  # nothing replicates from here
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "fsync": "on",
    "recovery_init_sync_method": "syncfs",  # one call instead of one per file after a crash
    "log_min_messages": "log",  # no failed statements: their text and values are the users'
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

START_WAIT = 60.0  # seconds; crash recovery of a large database takes its time
STOP_STEPS = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))  # fast, immediate, kill
POLL = 0.005  # seconds
RESTARTS = 8  # in a row, after 0.1, 0.2, 0.4 … seconds
STEADY = 60.0  # seconds up after which a new failure counts as the first
LOG_LIMIT = 8 * 1024 * 1024  # bytes, then one older log is kept


@dataclass
class Server:
    """Postgres on one cluster. Whoever makes one holds the owner's lock."""

    cluster: Path
    account: Account
    binaries: Path
    log: Path
    alive: Path  # locked by Postgres and its children as long as one of them lives
    _process: asyncio.subprocess.Process | None = field(default=None, init=False)

    async def start(self) -> None:
        """Start Postgres and wait until it answers. Raises :class:`Unavailable` with its own reason."""
        if not self._gone():
            logger.warning("a Postgres whose gateway is dead still runs on %s; stopping it", self.cluster)
            await self.stop()
        log_start = self._rotate_log()
        self._process = await self._spawn()
        deadline = time.monotonic() + START_WAIT
        while postmaster(self.cluster) != (self._process.pid, "ready"):
            if self._process.returncode is not None:
                raise self._failure(self._last_words(log_start))
            if time.monotonic() > deadline:
                await self.stop()
                raise self._failure(f"not ready after {START_WAIT:.0f} s")
            await asyncio.sleep(POLL)

    async def stop(self) -> None:
        """End Postgres, gently first, whoever started it. Returns once none of its processes is left."""
        for number, seconds in STOP_STEPS:
            self._signal(number)
            if await becomes_true(self._gone, within=seconds, every=POLL):
                if self._process:
                    await self._process.wait()
                return
        raise Unavailable(
            f"Postgres on {self.cluster} does not end", remedy="look for its processes with ps and end them"
        )

    async def supervise(self) -> None:
        """Start Postgres again whenever it ends by itself; give up after too many failures in a row."""
        failures = 0
        while self._process is not None:
            since = time.monotonic()
            status = await self._process.wait()
            failures = 1 if time.monotonic() - since > STEADY else failures + 1
            if failures > RESTARTS:
                logger.critical("Postgres ended %d times in a row, giving up; see %s", failures, self.log)
                return
            logger.error("Postgres ended by itself (status %s); starting it again", status)
            await asyncio.sleep(0.1 * 2 ** (failures - 1))
            try:
                await self.start()
            except (MosaicError, OSError) as error:
                logger.error("Postgres did not start again: %s", error)  # noqa: TRY400 (no traceback needed)
            else:
                logger.warning("Postgres runs again")

    async def _spawn(self) -> asyncio.subprocess.Process:
        # No Postgres of ours runs, so the pid in a left-over file now belongs to someone else at most.
        stale = _first_line(self.cluster / "postmaster.pid")
        extra = {"PG_GRANDPARENT_PID": stale} if stale.isdigit() else {}
        (self.cluster / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)
        named = SETTINGS | {"cluster_name": _name(self.cluster)}
        settings = [part for name, value in named.items() for part in ("-c", f"{name}={value}")]
        alive = FileLock(self.alive)
        log = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            alive.acquire()
            return await asyncio.create_subprocess_exec(
                *self.account.command(self.binaries / "postgres", "-D", HERE, *settings),
                cwd=self.cluster,
                env=environment() | extra,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(alive.fd,),
                start_new_session=True,  # Ctrl-C is for the gateway, which then stops Postgres
            )
        except OSError as error:
            raise self._failure(error.strerror or "no reason given") from error
        finally:
            os.close(log)
            alive.close()

    def _signal(self, number: signal.Signals) -> None:
        ours = self._process
        running = postmaster(self.cluster)
        pid = ours.pid if ours and ours.returncode is None else running[0] if running else None
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _gone(self) -> bool:
        alive = FileLock(self.alive)
        try:
            return alive.acquire()
        finally:
            alive.close()

    def _rotate_log(self) -> int:
        size = self.log.stat().st_size if self.log.exists() else 0
        if size < LOG_LIMIT:
            return size
        self.log.replace(self.log.with_name(f"{self.log.name}.1"))
        return 0

    def _last_words(self, log_start: int) -> str:
        lines = self.log.read_bytes()[log_start:].decode("utf-8", "replace").strip().splitlines()
        fatal = [line for line in lines if "FATAL:" in line or "PANIC:" in line]
        return (fatal or lines or ["it said nothing"])[-1]

    def _failure(self, reason: str) -> Unavailable:
        return Unavailable(f"Postgres did not start: {reason}", remedy=f"see {self.log}")


@asynccontextmanager
async def running(server: Server) -> AsyncIterator[None]:
    """Keep Postgres running, whatever happens to it, until the context is left."""
    try:
        await server.start()
        watch = asyncio.create_task(server.supervise())
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.wait([watch])
    finally:
        await server.stop()


def postmaster(cluster: Path) -> tuple[int, str] | None:
    """Pid and status of the Postgres that runs on the cluster, by its pid file; a stale file is no answer.

    Told by the command line: it is all that root without ``CAP_SYS_PTRACE`` may see in a container.
    """
    with suppress(OSError, ValueError, IndexError):
        lines = (cluster / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
        pid = int(lines[0])
        command_line = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if f"cluster_name={_name(cluster)}".encode() in command_line:
            return pid, lines[7].strip() if len(lines) > 7 else "starting"  # noqa: PLR2004 (its eighth line)
    return None


def _name(cluster: Path) -> str:
    """Tells one cluster from another in the list of processes."""
    about = cluster.stat()
    return f"mosaic-{about.st_dev:x}-{about.st_ino:x}"


def _first_line(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0]
    return ""
