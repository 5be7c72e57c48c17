"""What an answer costs as rows grow from 10^4 to 10^7, and as peers and grants grow from 1 to 10^4.

A peer lists 50 tasks over mTLS, audited and limited, on gateways of 10^4, 10^5, … rows, and beside 100 and 10^4 other
active grants of as many peers. Then 50 peers in turns, each so seldom that nothing of its grant is at hand, against the
same pace by one. All gateways run at once, rounds alternate, medians are compared: requests a second, and the
processor time of an answer, of the gateway and its Postgres together, which says more on a busy machine.

Environment: BENCH_ROUNDS (3), BENCH_SECONDS of each (3), BENCH_ROWS, the most rows (1000000; the goal is said for
10000000, which take 6 GB and some minutes).
"""

from __future__ import annotations

import asyncio
import os
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import aiohttp
from tests.bench import Row
from tests.bench._cpu import family, processor_seconds
from tests.bench.federated import Site, _over_tls, _site
from tests.bench.revocation import _enrolled

from mosaic_federation.grants import Grants
from mosaic_gateway.boot import open_gateway
from mosaic_gateway.compose import compose
from mosaic_gateway.config import read_config

_ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
_SECONDS = float(os.environ.get("BENCH_SECONDS", "3"))
_MOST_ROWS = int(os.environ.get("BENCH_ROWS", "1000000"))
_ROWS = [rows for rows in (10**4, 10**5, 10**6, 10**7) if rows <= _MOST_ROWS]
_FEW = 10**5  # rows beside grants
_GRANTS = (100, 10**4)
_IN_TURNS = 50  # peers; a gateway lets an address enroll 60 times a minute
_SELDOM = 1.5  # seconds between two questions of one: a grant is kept for one
_TURNS, _PACE = f"grants, {_IN_TURNS} peers in turns", f"grants, one peer at the pace of {_IN_TURNS}"
_PATH = "/federation/v1/tasks?limit=50"

Measured = tuple[float, float]  # answers a second, µs of processor time for one
Load = Callable[[], Awaitable[Measured]]


@dataclass(frozen=True)
class Target:
    """What is loaded, and of how many rows or grants it speaks."""

    name: str
    size: int
    load: Load


async def measure() -> list[Row]:
    async with AsyncExitStack() as clients:
        with ExitStack() as stack:
            directory = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="mosaic-bench-", dir="/tmp"))
            )
            directory.chmod(0o711)
            targets = await _targets(stack, clients, directory)
            return list(_rows(targets, await _rounds(targets)))


async def _targets(stack: ExitStack, clients: AsyncExitStack, directory: Path) -> list[Target]:
    targets = []
    for rows in _ROWS:
        site = await _site(stack, directory / f"rows-{rows}", rows, 0, 1, audit=True)
        targets.append(Target("rows", rows, _busy(site)))
        if rows == _FEW:
            targets.append(Target("grants", 1, _busy(site)))
    for grants in _GRANTS:
        place = directory / f"grants-{grants}"
        site = await _site(stack, place, _FEW, grants, 1, audit=True)
        targets.append(Target("grants", grants, _busy(site)))
        peers = await _peers(place / "mosaic.config.json")
        one, each = [peers[0]] * _IN_TURNS, peers
        targets.append(Target(_PACE, grants, _in_turns(site, await _open(clients, site, one))))
        targets.append(Target(_TURNS, grants, _in_turns(site, await _open(clients, site, each))))
    return targets


async def _peers(config: Path) -> list[ssl.SSLContext]:
    async with open_gateway(compose(read_config(config)), serving=False) as gateway:
        grants = Grants(gateway.composition.view("federation"))
        return [(await _enrolled(grants, f"turn-{number}"))[1] for number in range(_IN_TURNS)]


async def _open(
    clients: AsyncExitStack, site: Site, peers: Sequence[ssl.SSLContext]
) -> list[aiohttp.ClientSession]:
    """A connection of each."""
    url = f"https://127.0.0.1:{site.port}"
    made = [aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(ssl=tls, limit=1)) for tls in peers]
    for client in made:
        await clients.enter_async_context(client)
    return made


def _busy(site: Site) -> Load:
    """As fast as it answers."""
    load = _over_tls(site.port, _PATH, site.keys, lambda: family(site.processes()[0]))

    async def measured() -> Measured:
        answers, _, _, spent = await asyncio.to_thread(load, _SECONDS)
        return answers, spent

    return measured


def _in_turns(site: Site, clients: Sequence[aiohttp.ClientSession]) -> Load:
    async def ask(client: aiohttp.ClientSession) -> None:
        async with client.get(_PATH) as answer:
            answer.raise_for_status()
            await answer.read()

    async def ask_seldom(number: int, turns: int) -> None:
        await asyncio.sleep(_SELDOM * number / len(clients))
        for _ in range(turns):
            await asyncio.gather(ask(clients[number]), asyncio.sleep(_SELDOM))

    async def measured() -> Measured:
        await asyncio.gather(*map(ask, clients))  # a connection that was closed meanwhile is opened again
        await asyncio.sleep(_SELDOM)
        processes, turns = family(site.processes()[0]), max(1, round(_SECONDS / _SELDOM))
        began, before = time.perf_counter(), processor_seconds(processes)
        await asyncio.gather(*(ask_seldom(number, turns) for number in range(len(clients))))
        answers, seconds = turns * len(clients), time.perf_counter() - began
        return answers / seconds, (processor_seconds(processes) - before) / answers * 1e6

    return measured


async def _rounds(targets: Sequence[Target]) -> list[Measured]:
    """The medians of each target."""
    measured: list[list[Measured]] = [[] for _ in targets]
    for turn in range(_ROUNDS + 1):  # the first one warms up
        for target, found in zip(targets, measured, strict=True):
            result = await target.load()
            if turn:
                found.append(result)
    return [(median(one[0] for one in found), median(one[1] for one in found)) for found in measured]


def _rows(targets: Sequence[Target], medians: Sequence[Measured]) -> Iterator[Row]:
    """Each size against the smallest."""
    first: dict[str, tuple[int, Measured]] = {}
    at_pace = {
        target.size: found[1] for target, found in zip(targets, medians, strict=True) if target.name == _PACE
    }
    for target, (answers, spent) in zip(targets, medians, strict=True):
        smallest, (plain_answers, plain_spent) = first.setdefault(
            target.name, (target.size, (answers, spent))
        )
        if target.size != smallest and target.name != _PACE:
            what, than = f"{target.size:,} {target.name}", f"{smallest:,} {target.name}"
            if target.name in {"rows", "grants"}:
                yield Row(f"{what}, throughput | {than}", "req/s", answers, plain_answers)
            yield Row(f"{what}, CPU of gateway and Postgres | {than}", "µs/req", spent, plain_spent)
        if target.name == _TURNS:
            what = f"{target.size:,} {_TURNS}, CPU of gateway and Postgres | {_PACE}"
            yield Row(what, "µs/req", spent, at_pace[target.size])
