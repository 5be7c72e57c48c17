"""What the limiter and the cache add to a request, against one bare redis-py GET on the same server in the same run.

Each is asked by 32 tasks at once, and by one alone. Below 1 is cheaper than the GET.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from statistics import median
from types import SimpleNamespace
from typing import Any

from redis.asyncio import Redis
from tests.bench import Row

from mosaic_hookspecs.types import QueueTarget, Rate
from mosaic_valkey.cache import ValkeyCache
from mosaic_valkey.limiter import ValkeyLimiter
from mosaic_valkey.settings import Settings

CALLS = 4000
ROUNDS = 5
RATE = Rate("bench", limit=1_000_000, period=60)
Ask = Callable[[int], Awaitable[Any]]


async def measure() -> list[Row]:
    async with _server() as url, Redis.from_url(url) as redis:
        target, settings = QueueTarget("bullmq", url), Settings()
        host: Any = SimpleNamespace(gateway_name="b", queue_target=target, settings=lambda _: settings)
        limiter, cache = ValkeyLimiter(host), ValkeyCache(host)
        async with limiter.open(), cache.open():
            await redis.set("key", b"x" * 200)
            asks = _asks(redis, limiter, cache)
            return [row for tasks in (32, 1) for row in await _rows(asks, tasks)]


def _asks(redis: Any, limiter: ValkeyLimiter, cache: ValkeyCache) -> dict[str, Ask]:
    async def value() -> bytes:
        return b"x" * 200

    async def missed(number: int) -> None:
        await cache.get(f"miss:{time.perf_counter_ns()}:{number}", value, ttl=60)

    return {
        "plain": lambda _: redis.get("key"),
        "limiter, one decision": lambda _: limiter.take("a", RATE),
        "cache, near": lambda _: cache.get("near", value, ttl=600),
        "cache, missed everywhere and stored": missed,
    }


async def _rows(asks: dict[str, Ask], tasks: int) -> list[Row]:
    times: dict[str, list[float]] = {name: [] for name in asks}
    for number in range(ROUNDS + 1):  # the first one warms up
        for name, ask in asks.items():
            taken = await _time(ask, tasks)
            if number:
                times[name].append(taken)
    middle = {name: median(each) for name, each in times.items()}
    plain = middle.pop("plain")
    return [Row(f"{name} | redis-py GET, {tasks} at once", "µs", us, plain) for name, us in middle.items()]


async def _time(ask: Ask, tasks: int) -> float:
    """Microseconds for one call, among ``tasks`` that ask without a pause."""
    each = CALLS // tasks

    async def repeat() -> None:
        for number in range(each):
            await ask(number)

    start = time.perf_counter()
    await asyncio.gather(*(repeat() for _ in range(tasks)))
    return (time.perf_counter() - start) / (each * tasks) * 1e6


@asynccontextmanager
async def _server() -> AsyncIterator[str]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = int(sock.getsockname()[1])
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        raise RuntimeError("this bench needs valkey-server or redis-server: apt-get install redis-server")
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    try:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                break
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        await process.wait()
