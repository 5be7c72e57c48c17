"""The lifecycle after composing: storage, schema, lifespans; left in reverse on one exit stack."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mosaic_gateway import __version__
from mosaic_gateway.compose import Composition
from mosaic_gateway.database import Pool, connect, open_pool
from mosaic_gateway.health import Report, database_probe, run_probes
from mosaic_gateway.identity import Identities
from mosaic_gateway.plugins import each
from mosaic_gateway.resources import ResourceRows
from mosaic_gateway.sealing import Keyring, create_keys
from mosaic_hookspecs.errors import ConfigError, Unavailable
from mosaic_hookspecs.types import DatabaseLocation, Mount, Probe
from mosaic_migrations.runner import migrate

KEY_FILE = "keys.json"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that is up. Implements what the public HTTP application needs."""

    composition: Composition
    location: DatabaseLocation
    database: Pool
    identities: Identities
    rows: ResourceRows
    probes: Sequence[Probe]
    version: str = __version__

    @property
    def name(self) -> str:
        """What peers see this gateway called."""
        return self.composition.config.name

    @property
    def mounts(self) -> Sequence[Mount]:
        """Blueprints of plugins, on every listener."""
        return self.composition.mounts

    @property
    def max_body_bytes(self) -> int:
        """Largest request body, bytes."""
        return self.composition.config.limits.body_bytes

    async def ready(self) -> Report:
        """Findings of the probes that the tier is ready by."""
        wanted = self.composition.tier.ready_when
        return await run_probes([probe for probe in self.probes if probe.name in wanted])


def prepare_data_dir(data_dir: Path) -> None:
    """Make the data directory (0700) and its key file, unless they exist.

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
    """Bring Postgres within reach, with every migration applied."""
    check_data_dir(composition.config.data_dir)
    async with composition.storage.open(serving=serving) as location:
        connection = await connect(location)
        try:
            await migrate(connection, composition.migrations)
        finally:
            await connection.close(timeout=5)
        yield location


@asynccontextmanager
async def open_gateway(composition: Composition, *, serving: bool) -> AsyncIterator[Gateway]:
    """Start: storage, pool, lifespans, readiness. A failure on the way unwinds what was started.

    ``serving`` is true for the process that owns the storage; a command or a worker joins it.
    Raises :class:`ConfigError` or :class:`Unavailable`, naming what failed.
    """
    keyring = Keyring.read(composition.config.data_dir / KEY_FILE)
    async with AsyncExitStack() as stack:
        location = await stack.enter_async_context(open_storage(composition, serving=serving))
        pool = await stack.enter_async_context(open_pool(location))
        host = composition.host
        identities = Identities(pool)
        rows = ResourceRows(pool, host.resources, keyring.cursor_key)
        host.database, host.sealer, host.rows, host.identity = pool, keyring, rows, identities
        for _plugin, lifespan in each(composition.registry, "mosaic_lifespan", host_for=composition.view):
            await stack.enter_async_context(lifespan)
        probes = [database_probe(pool), *composition.probes]
        gateway = Gateway(composition, location, pool, identities, rows, probes)
        _refuse_unready(await gateway.ready())
        yield gateway


def _refuse_unready(report: Report) -> None:
    for name, finding in report:
        if finding.status == "red":
            raise Unavailable(f"not ready: {name}: {finding.detail}", remedy=finding.remedy)
