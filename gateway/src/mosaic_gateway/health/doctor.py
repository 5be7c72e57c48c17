"""What `mosaic gateway doctor` looks at: everything at once, and nothing that another failure could hide."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from functools import partial

from mosaic_gateway import __version__
from mosaic_gateway.compose import Composition, Owned
from mosaic_gateway.database import open_pool
from mosaic_gateway.health.database import UNKNOWN, database_probes, transport_probe, vector_probe
from mosaic_gateway.health.files import file_probes
from mosaic_gateway.health.probes import HOST, Checked, run_probes
from mosaic_gateway.health.report import Diagnosis, PluginState, entries, worst
from mosaic_gateway.health.schema import schema_probe
from mosaic_gateway.health.secret_files import secret_file_probes
from mosaic_gateway.identity import Identities
from mosaic_gateway.sealing import Keyring
from mosaic_hookspecs.errors import ConfigError, MosaicError
from mosaic_hookspecs.redaction import redact
from mosaic_hookspecs.types import DatabaseLocation, Finding, Probe

STORAGE_TIMEOUT = 20.0  # seconds; the embedded Postgres may have to recover from a crash first
CONNECTIONS = 4  # for the probes of plugins


async def examine(composition: Composition) -> list[Checked]:
    """Every finding on a gateway, running or not. What hangs takes its 5 s; nothing is changed."""
    plugins = ", ".join(plugin.name for plugin in composition.registry.plugins)
    fine = Finding("green", f"tier {composition.tier.name}; plugins {plugins}")
    standalone = [each for each in composition.probes if each.probe.standalone]
    others = [each for each in composition.probes if not each.probe.standalone]
    own = [*file_probes(composition.config.data_dir), *secret_file_probes(composition)]
    in_storage, alone = await asyncio.gather(  # the longer way first
        _with_storage(composition, others),
        run_probes([*_own(own), *standalone]),
    )
    return [Checked(HOST, "configuration", fine, 0.0), *_retired(composition), *alone, *in_storage]


def _retired(composition: Composition) -> list[Checked]:
    """Hooks and arguments that a coming release drops, and whose plugin uses them."""
    return [
        Checked(plugin.name, "compatibility", Finding("yellow", words, f"upgrade {plugin.distribution}"), 0.0)
        for plugin in composition.registry.plugins
        for words in plugin.warnings
    ]


def unusable(error: MosaicError) -> list[Checked]:
    """The one finding on a configuration that cannot be used."""
    detail = redact("; ".join([error.detail, *map(str, error.faults)]))
    return [Checked(HOST, "configuration", Finding("red", detail, redact(error.remedy)), 0.0)]


def diagnosis(composition: Composition | None, checked: Sequence[Checked], seconds: float) -> Diagnosis:
    """The findings, and what they are about."""
    return Diagnosis(
        status=worst(checked),
        version=__version__,
        gateway=composition.config.name if composition else None,
        tier=composition.tier.name if composition else None,
        services=_services(composition) if composition else [],
        plugins=_plugins(composition) if composition else [],
        examined_at=datetime.now(UTC),
        milliseconds=round(seconds * 1000, 2),
        findings=entries(checked),
    )


def _services(composition: Composition) -> list[str]:
    host = composition.host
    vector = ["pgvector"] if host.storage_target.enable_vector else []
    return [f"storage {host.storage_target.type}", *vector, f"queue {host.queue_target.type}"]


def _plugins(composition: Composition) -> list[PluginState]:
    return [
        PluginState(name=p.name, distribution=p.distribution, version=p.version, state="loaded")
        for p in composition.registry.plugins
    ]


def _own(probes: Sequence[Probe]) -> list[Owned]:
    return [Owned(HOST, probe) for probe in probes]


async def _with_storage(composition: Composition, others: Sequence[Owned]) -> list[Checked]:
    """The storage opened, and all that needs it; where it does not open, that and nothing else."""
    start = time.perf_counter()
    if not await asyncio.to_thread(composition.config.data_dir.is_dir):  # an embedded one would be made there
        absent = Finding("yellow", "not opened: there is no data directory", "run `mosaic gateway init`")
        return [Checked(HOST, "storage", absent, 0.0), *_skipped(others)]
    async with AsyncExitStack() as stack:
        try:
            opening = stack.enter_async_context(composition.storage.open(serving=False))
            location = await asyncio.wait_for(opening, STORAGE_TIMEOUT)
        except TimeoutError:
            finding = Finding(
                "red", f"did not open within {STORAGE_TIMEOUT:.0f} s", "look at what it stands on"
            )
        except MosaicError as error:
            finding = Finding("red", redact(error.detail), redact(error.remedy))
        except Exception as error:
            finding = Finding(
                "red", f"it failed ({type(error).__name__})", "report it to its plugin's author"
            )
        else:
            place = f"{composition.storage.name}: {location.host}, database {location.database}"
            opened = Checked(HOST, "storage", Finding("green", place), time.perf_counter() - start)
            return [opened, *await _in_database(composition, location, others)]
        failed = Checked(HOST, "storage", finding, time.perf_counter() - start)
        return [failed, *_skipped(others)]


def _skipped(others: Sequence[Owned]) -> list[Checked]:
    finding = Finding("yellow", UNKNOWN.detail, "see the finding `storage`")
    return [Checked(each.plugin, each.probe.name, finding, 0.0) for each in others]


async def _in_database(
    composition: Composition, location: DatabaseLocation, others: Sequence[Owned]
) -> list[Checked]:
    vector = composition.host.storage_target.enable_vector
    reopen = partial(composition.storage.open, serving=False)
    own = [
        *database_probes(location),
        transport_probe(location),
        *([vector_probe(location, reopen)] if vector else []),
        schema_probe(location, reopen, composition.migrations, vector=vector),
    ]
    # Without patience: what still runs at the end has its finding, and a farewell would only take time.
    async with open_pool(location, size=CONNECTIONS, lazy=True, patience=0) as pool:
        host = composition.host
        host.database, host.identity = pool, Identities(pool)
        with suppress(ConfigError):  # a finding of its own; what needs the keys says so
            host.sealer = Keyring.load(composition.config.data_dir)
        return await run_probes([*_own(own), *others])
