"""Run health checks concurrently, each bounded in time, each failure its own finding."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import asyncpg

from mosaic_gateway.compose import Owned
from mosaic_gateway.plugins import Steps, guarded
from mosaic_hookspecs.errors import MosaicError
from mosaic_hookspecs.redaction import redact
from mosaic_hookspecs.types import Finding

PROBE_TIMEOUT = 5.0  # seconds
HOST = "gateway"  # whose the host's own probes are

_logger = logging.getLogger("mosaic.health")


@dataclass(frozen=True, slots=True)
class Checked:
    """What a probe found, and how long it took."""

    plugin: str
    name: str
    finding: Finding
    seconds: float


async def run_probes(probes: Sequence[Owned], *, within: float = PROBE_TIMEOUT) -> list[Checked]:
    """What each found, in the order given. Takes no longer than ``within`` seconds, whatever they do."""
    with guarded(lambda what: _logger.error("%s", blocks(what).detail), within):
        return list(await asyncio.gather(*(_run(each, within) for each in probes)))


async def _run(owned: Owned, within: float) -> Checked:
    start = time.perf_counter()
    task = asyncio.ensure_future(_checked(owned))
    # Not wait_for: it would wait for a check that ignores its cancellation.
    await asyncio.wait({task}, timeout=within)
    if task.done():
        finding = Finding("red", "the probe was cancelled") if task.cancelled() else task.result()
    else:
        task.cancel()
        finding = Finding("red", f"did not answer within {within:g} s", _report(owned))
    finding = replace(finding, detail=redact(finding.detail), remedy=redact(finding.remedy))
    return Checked(owned.plugin, owned.probe.name, finding, time.perf_counter() - start)


async def _asked(owned: Owned) -> object:
    return await owned.probe.check()


async def _checked(owned: Owned) -> Finding:
    try:
        finding: object = await Steps(f"plugin {owned.plugin!r}: probe {owned.probe.name!r}", _asked(owned))
    except MosaicError as error:
        return Finding("red", error.detail, error.remedy)
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
        return Finding("yellow", "its tables are not all there", "run the pending migrations")
    except Exception as error:
        _logger.debug("probe %s of %s", owned.probe.name, owned.plugin, exc_info=True)
        return Finding("red", f"the probe itself failed ({type(error).__name__})", _report(owned))
    if isinstance(finding, Finding):
        return finding
    return Finding("red", f"the probe itself failed (it returned {type(finding).__name__})", _report(owned))


def blocks(what: str) -> Finding:
    """The finding on a probe that keeps everything else from running, and so from being bounded."""
    return Finding(
        "red",
        f"{what} blocks: it did not give way within {PROBE_TIMEOUT:g} s",
        "report it to the plugin's author: a check awaits, or leaves what blocks to a thread (asyncio.to_thread)",
    )


def _report(owned: Owned) -> str:
    if owned.plugin == HOST:
        return "look at what it examines; `mosaic --debug gateway doctor` shows more"
    return (
        f"look at what plugin {owned.plugin!r} stands on; if that is well, report it to the plugin's author"
    )
