"""Peers to ask, in a process of their own, so that what they cost is not in what is measured.

``python -m tests.bench._stub_peers CONFIG NUMBER``: enrolls ``p0`` … and two that are dead at the gateway of that
config, prints a line when they are up, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

from tests.shared.stub_peers import StubPeer, new_root, silent_port

from mosaic_gateway.boot import open_gateway
from mosaic_gateway.compose import compose
from mosaic_gateway.config import read_config

SILENT, CLOSED = "silent", "closed"  # takes connections, and never says a word; nothing listens there
_NOTHING = 1  # a port
_ROWS = 50


@contextmanager
def stub_peers(config: Path, number: int) -> Iterator[None]:
    """Run them until the context is left."""
    command = [sys.executable, "-m", "tests.bench._stub_peers", str(config), str(number)]
    with Popen(command, stdin=PIPE, stdout=PIPE) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError("the peers did not come up")
        yield
        process.communicate()


@asynccontextmanager
async def _enrolled(config: Path, number: int) -> AsyncIterator[None]:
    root = new_root()
    rows = [
        {"id": f"{n:08}-0000-4000-8000-000000000000", "title": f"Task {n}", "body": "word " * 20}
        for n in range(_ROWS)
    ]
    async with AsyncExitStack() as servers:
        silent = await servers.enter_async_context(silent_port())
        async with open_gateway(compose(read_config(config)), serving=False) as gateway:
            host = gateway.composition.view("federation")
            for each in range(number):
                stub = StubPeer(f"p{each}", root, rows)
                await servers.enter_async_context(stub.up())
                await stub.enroll(host)
            await StubPeer(SILENT, root).enroll(host, port=silent)
            await StubPeer(CLOSED, root).enroll(host, port=_NOTHING)
        yield


async def _main(config: Path, number: int) -> None:
    async with _enrolled(config, number):
        print("up", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2])))
