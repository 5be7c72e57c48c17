"""Users who read their own rows beside others who ask 1, 4 and 16 peers as well, all of them alive or one of them dead.

Dead in both ways: nothing listens there, or it takes connections and never says a word. The peers are mTLS servers with
50 rows each, in a process of their own. Questions are begun at a fixed pace, whatever becomes of those before, and
nothing that was kept is taken, so that each asks every peer. Rounds alternate; before each the dead are forgotten to be
dead, and the times of all rounds are looked at together.

Environment: BENCH_ROUNDS (5), BENCH_SECONDS of each (4).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import aiohttp
from tests.bench import Row
from tests.bench._load import client
from tests.bench._stub_peers import CLOSED, SILENT, stub_peers
from tests.bench.listing import _listening, _prepare, free_port

from mosaic_federation.peers import Peers
from mosaic_gateway.boot import open_gateway
from mosaic_gateway.compose import compose
from mosaic_gateway.config import read_config

_ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
_SECONDS = float(os.environ.get("BENCH_SECONDS", "4"))
_PEERS = (1, 4, 16)
_LOCAL = "/v1/tasks?limit=50"
_ASKED = ("/v1/tasks?limit=50", "/v1/search?q=word&limit=50")  # in turns
_PACE = 0.25  # seconds between two questions to all
_OWN = 50  # requests a second for rows of one's own: the gateway is busy, and has time


@dataclass
class Seen:
    """All times in ms: of own rows' requests, of the answers of all, and what these say of their own rows' part."""

    own: list[float] = field(default_factory=list)
    all: list[float] = field(default_factory=list)
    part: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)  # of each peer alive
    odd: set[str] = field(default_factory=set)


async def measure() -> list[Row]:
    """For each number of peers and each kind of death: p99 of own rows, of the own part, and of whole answers."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = free_port()
        token, _, _ = await _prepare(stack, directory, port)
        await _listening(port)
        config = directory / "g" / "mosaic.config.json"
        stack.enter_context(stub_peers(config, max(_PEERS)))
        rows = []
        for number in _PEERS:
            rows += await _compare(config, port, token, number)
        return rows


async def _compare(config: Path, port: int, token: str, number: int) -> list[Row]:
    alive = [f"p{each}" for each in range(number)]
    asked: dict[str, Sequence[str]] = {
        "none asked": [],
        "all alive": alive,
        "one where nothing listens": [*alive[:-1], CLOSED],
        "one silent": [*alive[:-1], SILENT],
    }
    seen = {name: Seen() for name in asked}
    for turn in range(_ROUNDS + 1):  # the first one warms up
        for name, peers in asked.items():
            await _forget(config)
            await _beside(port, token, peers, seen[name] if turn else Seen())
    return list(_rows(number, seen))


async def _forget(config: Path) -> None:
    """As if the dead had asked us something: then they are asked again."""
    async with open_gateway(compose(read_config(config)), serving=False) as gateway:
        for name in (SILENT, CLOSED):
            await Peers(gateway.database).came(name)


async def _beside(port: int, token: str, peers: Sequence[str], seen: Seen) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_own(port, token, seen))
        if peers:
            tasks.create_task(_ask_all(port, token, peers, seen))


async def _own(port: int, token: str, seen: Seen) -> None:
    request = f"GET {_LOCAL} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\r\n".encode()
    times = await client(port, request, time.perf_counter() + _SECONDS, pace=1 / _OWN)
    seen.own += [each * 1000 for each in times]


async def _ask_all(port: int, token: str, peers: Sequence[str], seen: Seen) -> None:
    headers = {"Authorization": f"Bearer {token}", "Cache-Control": "no-cache"}
    sources = ",".join(["local", *(f"peer:{each}" for each in peers)])
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as client,
        asyncio.TaskGroup() as tasks,
    ):
        for turn in range(int(_SECONDS / _PACE)):
            path = f"{_ASKED[turn % len(_ASKED)]}&sources={sources}"
            tasks.create_task(_ask(client, path, seen))
            await asyncio.sleep(_PACE)


async def _ask(client: aiohttp.ClientSession, path: str, seen: Seen) -> None:
    began = time.perf_counter()
    async with client.get(path) as answer:
        told: Any = json.loads(await answer.read())
    seen.all.append((time.perf_counter() - began) * 1000)
    for each in told["sources"]:
        if each["name"] == "local":
            seen.part.append(each["latency_ms"])
        elif each["name"].removeprefix("peer:") not in (SILENT, CLOSED):
            seen.others.append(each["latency_ms"])
            seen.odd |= {each["status"]} - {"ok"}


def _rows(number: int, seen: dict[str, Seen]) -> Iterator[Row]:
    alive, none = seen["all alive"], seen["none asked"]
    own, answers = f"own rows beside {number} peers", f"answers of {number} peers"
    yield Row(f"{own}, p99 | none asked", "ms", _p99(alive.own), _p99(none.own))
    for name in ("one where nothing listens", "one silent"):
        dead = seen[name]
        if odd := dead.odd | alive.odd:
            print(f"beside {number} peers, {name}: of those alive some came to {odd}", file=sys.stderr)
        yield Row(f"{own}, {name}, p99 | all alive", "ms", _p99(dead.own), _p99(alive.own))
        of = f"{answers}, {name}"
        yield Row(
            f"{of}, their own rows' part, median | all alive", "ms", median(dead.part), median(alive.part)
        )
        if number > 1:
            yield Row(
                f"{of}, the living, median | all alive", "ms", median(dead.others), median(alive.others)
            )
        yield Row(f"{of}, the whole, median | all alive", "ms", median(dead.all), median(alive.all))
        yield Row(f"{of}, the whole, longest | all alive", "ms", max(dead.all), max(alive.all))


def _p99(times: list[float]) -> float:
    return quantiles(times, n=100)[98]
