"""Whose Postgres it is: a gateway owns it; a command joins it, or owns it for as long as it lasts.

Four lock files in the data directory say everything, and no lock outlives its holder:
``gateway.lock`` the one gateway, ``postgres-owner.lock`` who may start and stop Postgres,
``postgres-users.lock`` (shared) who has joined, ``postgres-alive.lock`` Postgres itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from mosaic_hookspecs.errors import ConfigError, Unavailable
from mosaic_hookspecs.types import DatabaseLocation, StorageTarget
from mosaic_tier_local.account import own_account, postgres_account
from mosaic_tier_local.binaries import binaries_for
from mosaic_tier_local.cluster import (
    DATABASE,
    ROLE,
    add_peers,
    add_vector,
    lacks_peers,
    lacks_vector,
    prepare,
)
from mosaic_tier_local.locks import FileLock, becomes_true
from mosaic_tier_local.server import PORT, Server, postmaster, running
from mosaic_tier_local.settings import Settings

logger = logging.getLogger("mosaic.tier_local")

WAIT = 30.0  # seconds that owner and users wait for each other
POLL = 0.02  # seconds
SOCKET_PATH_LIMIT = 107  # bytes; sun_path of unix(7) without its NUL


class EmbeddedStorage:
    """Postgres in ``<data_dir>/postgres``, reached by a Unix socket that no other user can open."""

    name = "embedded"

    def __init__(self, data_dir: Path, settings: Settings, target: StorageTarget | None = None) -> None:
        if target and target.type == self.name:
            _check_target(target)
        self._data_dir = data_dir
        self._settings = settings
        self._vector = bool(target and target.enable_vector)

    @asynccontextmanager
    async def open(self, *, serving: bool) -> AsyncIterator[DatabaseLocation]:
        """Own Postgres or join it. Raises :class:`ConfigError` or :class:`Unavailable`."""
        _check_data_dir(self._data_dir)
        cluster = (self._data_dir / "postgres").resolve()
        with ExitStack() as locks:
            if serving:
                _be_the_gateway(self._lock("gateway", locks), self._data_dir)
            owner, users = self._lock("postgres-owner", locks), self._lock("postgres-users", locks)
            if await _becomes_owner(owner, users, cluster, may_join=not serving):
                server = await self._server(cluster)
                async with running(server):
                    with _socket_directory(cluster) as directory:
                        try:
                            yield _location(directory)
                        finally:
                            await _until_unused(users)
            else:
                with _socket_directory(cluster) as directory:
                    yield _location(directory)

    def _lock(self, name: str, locks: ExitStack) -> FileLock:
        try:
            lock = FileLock(self._data_dir / f"{name}.lock")
        except OSError as error:
            raise _unusable(self._data_dir, error) from error
        locks.callback(lock.close)
        return lock

    async def _server(self, cluster: Path) -> Server:
        account = postgres_account(self._settings.run_as, cluster)
        binaries = await binaries_for(account)
        await prepare(cluster, account, binaries)
        log, alive = self._data_dir / "postgres.log", self._data_dir / "postgres-alive.lock"
        server = Server(cluster, account, binaries, log, alive)
        if lacks_peers(cluster):
            await server.stop()  # one whose gateway is dead
            await add_peers(cluster, account, binaries)
        if self._vector and lacks_vector(cluster):
            await server.stop()
            await add_vector(cluster, account, binaries)
        return server


def _check_target(target: StorageTarget) -> None:
    """Refuse what would else be passed over in silence."""
    if target.url or target.password_file:
        raise ConfigError(
            "storage: the embedded Postgres takes neither url nor password_file",
            remedy="take them out of the config, or use the tier standalone with that Postgres",
        )


def _check_data_dir(data_dir: Path) -> None:
    if not sys.platform.startswith("linux"):
        raise ConfigError("the local tier needs Linux", remedy="run the gateway in a Linux container")
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = data_dir.stat().st_uid
    except OSError as error:
        raise _unusable(data_dir, error) from error
    if owner != os.geteuid():
        raise ConfigError(
            f"data_dir {data_dir} belongs to user id {owner}, and this is {own_account().name}",
            remedy="run this as the user the gateway runs as, or set data_dir to a directory of yours",
        )


def _unusable(data_dir: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"data_dir {data_dir} cannot be used: {error.strerror}",
        remedy="check the rights of this directory and of those above it, and the free space of its disk",
    )


def _be_the_gateway(gateway: FileLock, data_dir: Path) -> None:
    if not gateway.acquire():
        raise ConfigError(
            f"another gateway (pid {gateway.read()}) is running on data_dir {data_dir}",
            remedy="stop that one first, or set data_dir to another directory",
        )
    gateway.write(str(os.getpid()))


async def _becomes_owner(owner: FileLock, users: FileLock, cluster: Path, *, may_join: bool) -> bool:
    """True with the owner's lock, False having joined (with a users' lock)."""
    deadline = time.monotonic() + WAIT
    while not owner.acquire():
        if may_join and users.acquire(shared=True):
            running_now = postmaster(cluster)
            if running_now and running_now[1] == "ready":
                return False
            users.release()
        if time.monotonic() > deadline:
            raise Unavailable(
                f"a command (pid {owner.read()}) has kept the database to itself for {WAIT:.0f} s",
                remedy="wait for it to end and start again",
            )
        await asyncio.sleep(POLL)
    owner.write(str(os.getpid()))
    return True


async def _until_unused(users: FileLock) -> None:
    """Wait for those who joined, and let no one join any more."""
    if not users.acquire():
        logger.warning("waiting up to %.0f s for commands that still use the database", WAIT)
        await becomes_true(users.acquire, within=WAIT, every=POLL)


@contextmanager
def _socket_directory(cluster: Path) -> Iterator[str]:
    """A name of the cluster's directory that is short enough for a socket's address."""
    if len(os.fsencode(cluster / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_LIMIT:
        yield str(cluster)
        return
    directory = os.open(cluster, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/{os.getpid()}/fd/{directory}"
    finally:
        os.close(directory)


def _location(directory: str) -> DatabaseLocation:
    return DatabaseLocation(host=directory, port=PORT, user=ROLE, database=DATABASE)
