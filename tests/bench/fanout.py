"""Users who read their own rows, beside one who asks 1, 4 and 16 peers as well: with all of them alive, with one dead.

The peers are mTLS servers in this process, with 50 rows each. The dead one takes connections and never says a word.
Rounds alternate; the medians are compared.

Environment: BENCH_ROUNDS (5), BENCH_SECONDS of each (3).
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path
from statistics import median

from tests.bench import Row
from tests.bench._load import _client, load
from tests.bench.listing import _listening, _prepare, free_port
from tests.shared.stub_peers import StubPeer, new_root, silent_port

from mosaic_gateway.boot import open_gateway
from mosaic_gateway.compose import compose
from mosaic_gateway.config import read_config

_ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
_SECONDS = float(os.environ.get("BENCH_SECONDS", "3"))
_PEERS = (1, 4, 16)
_ROWS = 50
_LOCAL = "/v1/tasks?limit=50"
_PAUSE = 0.1  # seconds between two questions of the one who asks peers

Measured = tuple[float, float, float]  # requests/s, p50, p99


async def measure() -> list[Row]:
    """For each number of peers the p99 of local lists, and the time that an answer of all takes."""
    async with AsyncExitStack() as servers:
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            port = free_port()
            token, _, _ = await _prepare(stack, directory, port)
            await _listening(port)
            await _enroll(servers, directory / "g" / "mosaic.config.json")
            bearer = f"authorization: Bearer {token}\r\n"
            rows = []
            for number in _PEERS:
                rows += await _compare(port, bearer, number)
            return rows


async def _enroll(servers: AsyncExitStack, config: Path) -> None:
    root = new_root()
    items = [
        {"id": f"{n:08}-0000-4000-8000-000000000000", "title": f"Task {n}", "body": "word " * 20}
        for n in range(_ROWS)
    ]
    silent = await servers.enter_async_context(silent_port())
    async with open_gateway(compose(read_config(config)), serving=False) as gateway:
        host = gateway.composition.view("federation")
        for number in range(max(_PEERS)):
            stub = StubPeer(f"p{number}", root, items)
            await servers.enter_async_context(stub.up())
            await stub.enroll(host)
        await StubPeer("dead", root).enroll(host, port=silent)


async def _compare(port: int, bearer: str, number: int) -> list[Row]:
    names = [f"peer:p{each}" for each in range(number)]
    alive = f"{_LOCAL}&sources=local,{','.join(names)}"
    dead = f"{_LOCAL}&sources=local,{','.join([*names[:-1], 'peer:dead'])}"
    found: dict[str, list[tuple[Measured, float]]] = {"": [], alive: [], dead: []}
    for turn in range(_ROUNDS + 1):  # the first one warms up
        for path, measured in found.items():
            result = await _beside(port, bearer, path)
            if turn:
                measured.append(result)
    p99 = {path: median(one[2] for one, _ in measured) for path, measured in found.items()}
    took = {path: median(each for _, each in measured) for path, measured in found.items()}
    return [
        Row(f"local list, p99, beside an answer of {number} peers | one of them dead, against all alive", "ms",
            p99[dead], p99[alive]),
        Row(f"local list, p99, beside an answer of {number} peers | all alive, against none asked", "ms",
            p99[alive], p99[""]),
        Row(f"an answer of {number} peers, median | one of them dead, against all alive", "ms",
            took[dead], took[alive]),
    ]  # fmt: skip


async def _beside(port: int, bearer: str, path: str) -> tuple[Measured, float]:
    times: list[float] = []
    first = asyncio.Event()
    asking = asyncio.create_task(_ask(port, bearer, path, times, first)) if path else None
    result = await load(port, _LOCAL, bearer, connections=4, seconds=_SECONDS)
    if asking is not None:
        await first.wait()  # with a dead peer it takes the whole deadline
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
    return result, median(times) if times else 0.0


async def _ask(port: int, bearer: str, path: str, times: list[float], first: asyncio.Event) -> None:
    request = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{bearer}\r\n".encode()
    while True:
        times += [each * 1000 for each in await _client(port, request, time.perf_counter() + 1e-3)]
        first.set()
        await asyncio.sleep(_PAUSE)
