"""Does a gateway's memory stay flat? List, search and get over mTLS for ``MINUTES`` (10), audited and limited.

Some are refused, connections come and go, strangers throw garbage, and every few seconds a peer enrolls, reads and is
revoked. The resident memory of the gateway's processes is sampled; what counts is how it grows after the first third,
in which caches and pools fill. Not a part of `make bench`: ``python -m tests.bench.soak``; exits with 1 if it grows.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import linear_regression
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table
from tests.bench.listing import _mosaic, free_port

from mosaic_federation.keys import client_context, key_pem, new_key, signing_request

MINUTES = float(os.environ.get("MINUTES", "10"))
ROWS = 10_000
CLIENTS = 8
LARGEST_GROWTH = 2.0  # MiB in the last two thirds: fewer than 50 bytes a request in ten minutes
SAMPLE, REVOKE = 2.0, 5.0  # seconds between two
PATHS = (
    *("tasks?limit=50", "tasks?limit=5&sort=title", "tasks/search?q=task", "tasks/search?q=7"),
    *(
        "whoami",
        "capabilities",
        "tasks/00000000-0000-7000-8000-000000000000",
        "wikis",
        "tasks?limit=x",
        "nothing/here/x",
    ),
)
EXPECTED = {200, 400, 403, 404, 429}


@dataclass
class Seen:
    """What came back, by status, and megabytes by second."""

    statuses: dict[int, int] = field(default_factory=dict)
    samples: list[tuple[float, float]] = field(default_factory=list)

    def took(self, status: int) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1


@dataclass(frozen=True)
class Site:
    """A gateway that shares, and how it is asked."""

    public: int
    peers: int
    token: str
    process: subprocess.Popen[bytes]


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
            return Site(public, peers, token, process)
        time.sleep(0.1)


async def _soaked(site: Site) -> Seen:
    seen, end = Seen(), time.monotonic() + MINUTES * 60
    _, tls = _enrolled(site)
    async with asyncio.TaskGroup() as tasks:
        for number in range(CLIENTS):
            tasks.create_task(_ask(site, tls, number, end, seen))
        tasks.create_task(_strangers(site, end))
        tasks.create_task(_revocations(site, end, seen))
        tasks.create_task(_sample(site, end, seen))
    return seen


async def _ask(site: Site, tls: ssl.SSLContext, number: int, end: float, seen: Seen) -> None:
    """Ask a hundred times, at the pace of the limit and a little above it, then come again."""
    while time.monotonic() < end:
        async with _client(site, tls) as client:
            for turn in range(100):
                if time.monotonic() > end:
                    return
                await _get(client, PATHS[(turn + number) % len(PATHS)], seen)
                await asyncio.sleep(CLIENTS / 110)


async def _get(client: aiohttp.ClientSession, path: str, seen: Seen) -> None:
    async with client.get(f"/federation/v1/{path}") as answer:
        await answer.read()
    seen.took(answer.status)


@asynccontextmanager
async def _client(site: Site, tls: ssl.SSLContext) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=tls, limit=1)
    async with aiohttp.ClientSession(f"https://127.0.0.1:{site.peers}", connector=connector) as client:
        yield client


async def _strangers(site: Site, end: float) -> None:
    """Who is no peer: garbage, half a word, a handshake without a certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for number in count():
        if time.monotonic() > end:
            return
        with suppress(OSError):
            _, writer = await asyncio.open_connection(
                "127.0.0.1", site.peers, ssl=context if number % 3 == 0 else None
            )
            writer.write(os.urandom(number % 2000))
            await asyncio.sleep(0.1)
            writer.transport.abort()


async def _revocations(site: Site, end: float, seen: Seen) -> None:
    """A peer enrolls, reads, and is revoked while its connection is open."""
    while time.monotonic() < end - REVOKE:
        grant_id, tls = await asyncio.to_thread(_enrolled, site)
        async with _client(site, tls) as client:
            await _get(client, "tasks", seen)
            await asyncio.to_thread(_admin, site, f"grants/{grant_id}/revoke", {})
            await _get(client, "tasks", seen)
        await asyncio.sleep(REVOKE)


def _enrolled(site: Site) -> tuple[str, ssl.SSLContext]:
    scope = {"resources": ["tasks"], "include_personal": True}
    offer, key = _admin(site, "grants", {"subject": "admin", "peer": "brief", "scope": scope}), new_key()
    issued = _post(offer["url"].partition("#")[0], {"csr": signing_request(key).decode(), "name": "brief"})
    parts = {"ca": issued["ca"].encode(), "chain": issued["chain"].encode(), "key": key_pem(key)}
    return offer["id"], client_context(**parts)


def _admin(site: Site, path: str, body: Any) -> Any:
    return _post(
        f"http://127.0.0.1:{site.public}/v1/admin/{path}", body, Authorization=f"Bearer {site.token}"
    )


def _post(url: str, body: Any, **headers: str) -> Any:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"} | headers
    )
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


async def _sample(site: Site, end: float, seen: Seen) -> None:
    began = time.monotonic()
    while (now := time.monotonic()) < end:
        seen.samples.append((now - began, _resident(site.process.pid)))
        await asyncio.sleep(SAMPLE)


def _resident(pid: int) -> float:
    """MiB of the process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _told(seen: Seen) -> bool:
    """Print what was seen; return whether memory is flat and nothing was answered that should not be."""
    late = [sample for sample in seen.samples if sample[0] > seen.samples[-1][0] / 3]
    slope = linear_regression(*zip(*late, strict=True)).slope * 3600
    growth = slope * (late[-1][0] - late[0][0]) / 3600
    asked, odd = sum(seen.statuses.values()), set(seen.statuses) - EXPECTED
    flat = growth < LARGEST_GROWTH
    table = Table("what", "value")
    table.add_row("minutes", f"{MINUTES:g}")
    table.add_row("answers, by status", f"{asked:,}: {dict(sorted(seen.statuses.items()))}")
    for name, (_, size) in (("start", seen.samples[0]), ("after a third", late[0]), ("end", late[-1])):
        table.add_row(f"resident memory, {name}", f"{size:.1f} MiB")
    table.add_row("slope after the first third", f"{slope:.1f} MiB/h, {growth:.2f} MiB in all")
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
