"""Does a gateway's memory stay flat? Everything that peers, users and strangers do, for ``MINUTES`` (10).

Peers list, search and get over mTLS, HTTP/1.1 and HTTP/2, audited and limited, and some of it is refused. Connections
come and go, strangers throw garbage, every few seconds a peer enrolls, reads and is revoked, and users search here and
at two peers, one of which never says a word. The resident memory of the gateway's processes is sampled; what counts is
how it grows after the first fifth, in which caches and pools fill. Not a part of `make bench`:
``python -m tests.bench.soak``; exits with 1 if it grows.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from pathlib import Path
from statistics import linear_regression

from rich.console import Console
from rich.table import Table
from tests.bench._askers import EXPECTED, Seen, Site, ask_for
from tests.bench.federated import _children
from tests.bench.listing import _mosaic, free_port
from tests.shared.stub_peers import StubPeer, new_root, silent_port

from mosaic_gateway.boot import open_gateway
from mosaic_gateway.compose import compose
from mosaic_gateway.config import read_config

MINUTES = float(os.environ.get("MINUTES", "10"))
ROWS = 10_000
LARGEST_GROWTH = 2.0  # MiB in the last four fifths: fewer than 50 bytes a request in ten minutes
SAMPLE = 2.0  # seconds between two


def _started(stack: ExitStack, directory: Path) -> Site:
    """A gateway with rows, running until the stack is left."""
    public, peers = free_port(), free_port()
    ports = ("--port", str(public), "--federation-port", str(peers))
    token = json.loads(_mosaic("gateway", "init", str(directory), *ports, "--json"))["token"]
    config, rows = directory / "mosaic.config.json", directory / "rows.ndjson"
    rows.write_text("".join(json.dumps({"title": f"task {number}"}) + "\n" for number in range(ROWS)))
    _mosaic("--config", str(config), "data", "import", "tasks", str(rows), "--user", "admin")
    command = [sys.executable, "-m", "mosaic_gateway.cli", "--config", str(config), "gateway", "start"]
    process = subprocess.Popen(command, stderr=(directory / "log").open("wb"))
    stack.callback(process.wait, 60)
    stack.callback(process.terminate)
    while True:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{public}/readyz"):
            return Site(public, peers, token, process.pid, config)
        time.sleep(0.1)


@asynccontextmanager
async def _with_peers(site: Site) -> AsyncIterator[None]:
    """Two that it may ask: one with rows, and one that takes connections and never says a word."""
    root = new_root()
    items = [{"id": f"{n:08}-0000-4000-8000-000000000000", "title": f"Task {n}"} for n in range(50)]
    async with AsyncExitStack() as servers:
        alive, silent = StubPeer("alive", root, items), await servers.enter_async_context(silent_port())
        await servers.enter_async_context(alive.up())
        async with open_gateway(compose(read_config(site.config)), serving=False) as gateway:
            host = gateway.composition.view("federation")
            await alive.enroll(host)
            await StubPeer("dead", root).enroll(host, port=silent)
        yield


async def _soaked(site: Site) -> Seen:
    seen, end = Seen(), time.monotonic() + MINUTES * 60
    async with _with_peers(site), asyncio.TaskGroup() as tasks:
        tasks.create_task(ask_for(site, end, seen))
        tasks.create_task(_sample(site, end, seen))
    return seen


async def _sample(site: Site, end: float, seen: Seen) -> None:
    began = time.monotonic()
    while (now := time.monotonic()) < end:
        seen.samples.append((now - began, sum(map(_resident, [site.pid, *_children(site.pid)]))))
        await asyncio.sleep(SAMPLE)


def _resident(pid: int) -> float:
    """MiB of the process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _told(seen: Seen) -> bool:
    """Print what was seen; return whether memory is flat and nothing was answered that should not be."""
    late = [sample for sample in seen.samples if sample[0] > seen.samples[-1][0] / 5]
    slope = linear_regression(*zip(*late, strict=True)).slope * 3600
    growth = slope * (late[-1][0] - late[0][0]) / 3600
    asked, odd = sum(seen.statuses.values()), set(seen.statuses) - EXPECTED
    flat = growth < LARGEST_GROWTH
    table = Table("what", "value")
    table.add_row("minutes", f"{MINUTES:g}")
    table.add_row("answers, by status", f"{asked:,}: {dict(sorted(seen.statuses.items()))}")
    for second, size in seen.samples[:: max(1, len(seen.samples) // 10)]:
        table.add_row(f"resident memory after {second / 60:.1f} min", f"{size:.1f} MiB")
    table.add_row("resident memory, end", f"{seen.samples[-1][1]:.1f} MiB")
    table.add_row("slope after the first fifth", f"{slope:.1f} MiB/h, {growth:.2f} MiB in all")
    table.add_row("verdict", f"{'flat' if flat else 'GROWS'}{f', and unexpected: {odd}' if odd else ''}")
    Console().print(table)
    return flat and not odd


async def main() -> int:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mosaic-soak-", dir="/tmp")))
        directory.chmod(0o711)
        return 0 if _told(await _soaked(_started(stack, directory / "work"))) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
