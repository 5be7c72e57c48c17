"""A load generator over mTLS keep-alive in a process of its own; on uvloop, or it would cost the most.

``python -m tests.bench._mtls_load PORT PATH CONNECTIONS SECONDS DIRECTORY``: the directory holds ``ca.pem``,
``chain.pem`` and ``key.pem``. Prints ``[answers, seconds each…]`` as JSON: quantiles 50 and 99 in ms.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from pathlib import Path
from statistics import quantiles
from typing import cast

import uvloop


class _Client(asyncio.Protocol):
    """Asks again as soon as it is answered, until the end."""

    def __init__(self, request: bytes, times: list[float]) -> None:
        self._request = request
        self._times = times
        self._done = asyncio.get_running_loop().create_future()
        self._buffer = b""
        self._asked = self._end = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    async def ask_until(self, end: float) -> None:
        """Raises RuntimeError for anything but answers."""
        self._end = end
        self._ask()
        await self._done

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        head = head.lower()
        if b" 200" not in head.split(b"\r\n", 1)[0]:
            self._fail(f"the server answered {self._buffer[:400]!r}")
        elif len(rest) >= int(head.split(b"content-length:")[1].split(b"\r\n")[0]):
            self._buffer = b""
            self._times.append(time.perf_counter() - self._asked)
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was lost ({exc})")

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        if self._asked < self._end:
            self._transport.write(self._request)
        elif not self._done.done():
            self._done.set_result(None)
            self._transport.abort()

    def _fail(self, why: str) -> None:
        if not self._done.done():
            self._done.set_exception(RuntimeError(why))
            self._transport.abort()


async def _load(port: int, path: str, connections: int, seconds: float, directory: Path) -> list[float]:
    context = ssl.create_default_context(cafile=directory / "ca.pem")
    context.check_hostname = False
    context.load_cert_chain(directory / "chain.pem", directory / "key.pem")
    request = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode()
    loop, times = asyncio.get_running_loop(), list[float]()
    clients = [_Client(request, times) for _ in range(connections)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port, ssl=context)  # type: ignore[misc]
    end = time.perf_counter() + seconds  # from here on: what a handshake takes is another question
    await asyncio.gather(*(client.ask_until(end) for client in clients))
    cuts = quantiles(times, n=100)
    return [len(times) / seconds, cuts[49] * 1000, cuts[98] * 1000]


if __name__ == "__main__":
    port, path, connections, seconds, directory = sys.argv[1:]
    print(json.dumps(uvloop.run(_load(int(port), path, int(connections), float(seconds), Path(directory)))))
