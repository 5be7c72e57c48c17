"""What keeping a record of its own costs the gateway that reads from a peer: lists of 50 over mTLS, with and without.

The peer is an mTLS server in this process, far quicker than a gateway: beside a real one the share is smaller.
Rounds alternate; the medians are compared.

Environment: BENCH_ROUNDS (5), BENCH_SECONDS of each (2).
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from tests.bench import Row
from tests.bench.listing import _mosaic
from tests.shared.stub_peers import StubPeer, new_root

from mosaic_federation.asked import Asking
from mosaic_federation.peers import Peers
from mosaic_federation.reading.kept import Question
from mosaic_federation.reading.reader import Reader
from mosaic_gateway.boot import open_gateway
from mosaic_gateway.compose import compose
from mosaic_gateway.config import read_config

_ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
_SECONDS = float(os.environ.get("BENCH_SECONDS", "2"))
_AT_ONCE = (1, 16)
_ROWS = 50


async def measure() -> list[Row]:
    """Requests a second with the record, against without, one and many at once."""
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="mosaic-bench-", dir="/tmp"))
        Path(directory).chmod(0o711)
        _mosaic("gateway", "init", f"{directory}/g", "--json")
        config = read_config(Path(directory, "g", "mosaic.config.json"))
        gateway = await stack.enter_async_context(open_gateway(compose(config), serving=False))
        host: Any = gateway.composition.view("federation")
        items = [
            {"id": f"{n:08}-0000-4000-8000-000000000000", "title": f"Task {n}", "body": "word " * 20}
            for n in range(_ROWS)
        ]
        stub = StubPeer("p", new_root(), items)
        await stack.enter_async_context(stub.up())
        await stub.enroll(host)
        reader, numbers = Reader(host), count()

        async def ask() -> None:
            peer = await Peers(host.database).get("p")
            params = [("limit", str(next(numbers) % 200 + 1))]  # no two ask the same at once
            await reader.read(Question(peer, ["tasks"], params), fresh=True)

        return [await _compare(ask, number) for number in _AT_ONCE]


async def _compare(ask: Callable[[], Awaitable[None]], number: int) -> Row:
    found: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(_ROUNDS + 1):  # the first one warms up
        for recorded, rates in found.items():
            with patch.object(Asking, "record", Asking.record if recorded else _forget):
                rate = await _rate(ask, number)
            if turn:
                rates.append(rate)
    what = f"lists of {_ROWS} from a peer, {number} at once | with a record of our own, against without"
    return Row(what, "1/s", median(found[True]), median(found[False]))


async def _rate(ask: Callable[[], Awaitable[None]], number: int) -> float:
    end, done = time.perf_counter() + _SECONDS, 0

    async def one() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await ask()
            done += 1

    await asyncio.gather(*(one() for _ in range(number)))
    return done / _SECONDS


async def _forget(*_: object, **__: object) -> None: ...
