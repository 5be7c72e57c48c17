"""The lifecycle after composing: storage, schema, lifespans; left in reverse on one exit stack."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mosaic_gateway import __version__
from mosaic_gateway.compose import Composition, Owned
from mosaic_gateway.database import Pool, connect, open_pool
from mosaic_gateway.health import HOST, Checked, detect, pool_probe, refuse_red, run_probes
from mosaic_gateway.host import GatewayHost
from mosaic_gateway.identity import Identities
from mosaic_gateway.metrics.own import watch_gateway
from mosaic_gateway.plugins import kept_up
from mosaic_gateway.resources import (
    ResourceRows,
    Searching,
    build_wall,
    discover,
    index_job,
    prepare_search,
    read_role,
)
from mosaic_gateway.sealing import ENVIRONMENT, KEY_FILE, Keyring, create_keys
from mosaic_gateway.sources import Fanout
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.protocols import Limiter
from mosaic_hookspecs.types import DatabaseLocation, Finding, Job, Mount
from mosaic_migrations.runner import migrate


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that is up. Implements what the public HTTP application needs."""

    composition: Composition
    location: DatabaseLocation
    database: Pool
    keyring: Keyring
    identities: Identities
    rows: ResourceRows
    searching: Searching
    probes: Sequence[Owned]
    version: str = __version__

    @property
    def name(self) -> str:
        """What peers see this gateway called."""
        return self.composition.config.name

    @property
    def limiter(self) -> Limiter:
        """The tier's."""
        return self.composition.limiter

    @property
    def sources(self) -> Fanout:
        """Its rows, and those that plugins reach elsewhere."""
        return Fanout(self.rows, self.composition.sources, self.keyring.cursor_keys)

    @property
    def source_seconds(self) -> float:
        """How long a request waits for its sources."""
        return self.composition.config.limits.source_seconds

    @property
    def mounts(self) -> Sequence[Mount]:
        """Blueprints of plugins, on every listener."""
        return self.composition.mounts

    @property
    def max_body_bytes(self) -> int:
        """Largest request body, bytes."""
        return self.composition.config.limits.body_bytes

    def working(self) -> AbstractAsyncContextManager[None]:
        """Run background jobs in this process for as long as entered: for those that serve, not for commands."""
        return self.composition.queue.work(self.jobs)

    @property
    def jobs(self) -> Sequence[Job]:
        """Background work: the gateway's own, and that of plugins."""
        own = index_job(self.database, self.searching, self.composition.host.resources)
        return [*([own] if self.searching.vectors else []), *self.composition.jobs]

    async def ready(self) -> list[tuple[str, Finding]]:
        """Findings of the probes that the tier is ready by."""
        return [(each.name, each.finding) for each in await self.checked()]

    async def checked(self) -> list[Checked]:
        """The same, with whose they are and how long they took."""
        wanted = self.composition.tier.ready_when
        return await run_probes([each for each in self.probes if each.probe.name in wanted])


def prepare_data_dir(data_dir: Path) -> None:
    """Make the data directory (0700) and its key file, unless they exist or the environment has the keys.

    Raises :class:`ConfigError` for a directory that is not empty and not ours, or that cannot be written.
    """
    keys = data_dir / KEY_FILE
    if keys.exists():
        return
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(data_dir.iterdir()):
            raise ConfigError(
                f"data_dir {data_dir} is not empty and not a gateway's: it has no {KEY_FILE}",
                remedy="choose another directory, or put the key file back from your backup",
            )
        if ENVIRONMENT not in os.environ:
            create_keys(keys)
    except OSError as error:
        raise ConfigError(
            f"data_dir {data_dir} cannot be made: {error.strerror}",
            remedy="choose a directory you may write to",
        ) from None


def check_data_dir(data_dir: Path) -> None:
    """Raise :class:`ConfigError` unless the directory exists, is ours and is closed to others."""
    if not data_dir.is_dir():
        raise ConfigError(f"data_dir {data_dir} does not exist", remedy="run `mosaic gateway init`")
    state = data_dir.stat()
    if state.st_uid != os.geteuid():
        raise ConfigError(f"data_dir {data_dir} belongs to another user", remedy="run mosaic as its owner")
    if state.st_mode & 0o077:
        raise ConfigError(f"data_dir {data_dir} is open to other users", remedy=f"chmod 700 {data_dir}")


@asynccontextmanager
async def open_storage(composition: Composition, *, serving: bool) -> AsyncIterator[DatabaseLocation]:
    """Bring Postgres within reach, found fit for the tier, with every migration applied."""
    check_data_dir(composition.config.data_dir)
    vector = composition.host.storage_target.enable_vector
    async with composition.storage.open(serving=serving) as location:
        await detect(composition.tier, location, composition.probes, vector=vector)
        connection = await connect(location)
        try:
            await migrate(connection, composition.migrations, vector=vector)
            host = composition.host
            host.resources = await discover(connection, composition.resources, composition.discoveries)
            await build_wall(connection, host.resources)
        finally:
            await connection.close(timeout=5)
        yield location


@asynccontextmanager
async def _peers_pool(
    pool: Pool, location: DatabaseLocation, host: GatewayHost
) -> AsyncIterator[Pool | None]:
    """Open what peers are answered through: behind the second wall, or, where it does not stand, not at all."""
    role = await read_role(pool, host.resources)
    if not role.complete:
        yield None
        return
    async with open_pool(location, size=host.storage_target.pool, lazy=True, role=role.name) as peers:
        yield peers


@asynccontextmanager
async def open_gateway(composition: Composition, *, serving: bool) -> AsyncIterator[Gateway]:
    """Start: storage, pool, lifespans, readiness. A failure on the way unwinds what was started.

    ``serving`` is true for the process that owns the storage; a command or a worker joins it.
    Raises :class:`ConfigError` or :class:`Unavailable`, naming what failed.
    """
    keyring = Keyring.load(composition.config.data_dir)
    async with AsyncExitStack() as stack:
        location = await stack.enter_async_context(open_storage(composition, serving=serving))
        host = composition.host
        pool = await stack.enter_async_context(open_pool(location, size=host.storage_target.pool))
        identities = Identities(pool, composition.cache, keyring)
        peers = await stack.enter_async_context(_peers_pool(pool, location, host))
        language = composition.config.search.language
        searching = await prepare_search(pool, host.resources, host.embedder, language)
        rows = ResourceRows(pool, host.resources, keyring.cursor_keys, peers, searching)
        host.database, host.sealer, host.rows, host.identity = pool, keyring, rows, identities
        for service in composition.services:
            await stack.enter_async_context(
                kept_up(f"service {service.name!r}", service.name, service.open())
            )
        for plugin, lifespan in composition.lifespans:
            await stack.enter_async_context(kept_up(f"plugin {plugin!r}: its lifespan", plugin, lifespan))
        probes = [Owned(HOST, pool_probe(pool, location)), *composition.probes]
        gateway = Gateway(composition, location, pool, keyring, identities, rows, searching, probes)
        host.sources = lambda: gateway.sources
        pools = (pool,) if peers is None else (pool, peers)
        watch_gateway(host.metrics, pools, version=gateway.version, tier=composition.tier.name)
        refuse_red(await gateway.checked())
        yield gateway
