"""A small keep-alive load generator. By hand: HTTP libraries in Python cost more than what is measured."""

from __future__ import annotations

import asyncio
import time
from statistics import quantiles


async def load(
    port: int, path: str, headers: str, *, connections: int, seconds: float
) -> tuple[float, float, float]:
    """Return requests per second, p50 and p99 in ms of GET ``path`` on keep-alive connections."""
    request = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}\r\n".encode()
    end = time.perf_counter() + seconds
    times = await asyncio.gather(*(client(port, request, end) for _ in range(connections)))
    every = [t for client in times for t in client]
    cuts = quantiles(every, n=100)
    return len(every) / seconds, cuts[49] * 1000, cuts[98] * 1000


async def client(port: int, request: bytes, end: float, *, pace: float = 0.0) -> list[float]:
    """Ask until ``end``, by the performance counter, every ``pace`` seconds; return what each took, seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times = []
    while (start := time.perf_counter()) < end:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200" not in head.split(b"\r\n", 1)[0]:
            raise RuntimeError(f"the server answered {head[:60]!r}")
        await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        times.append(time.perf_counter() - start)
        await asyncio.sleep(max(0.0, start + pace - time.perf_counter()))
    writer.close()
    return times
