"""Real worker processes on one socket, and their supervisor's life and death."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from mosaic_gateway.serving import bind, supervise
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.types import Listener

WORKER = str(Path(__file__).with_name("worker_app.py"))
SUPERVISOR = str(Path(__file__).with_name("supervisor_app.py"))

Parent = tuple[asyncio.subprocess.Process, int]


@pytest.fixture
async def parent() -> AsyncIterator[Parent]:
    process = await asyncio.create_subprocess_exec(sys.executable, SUPERVISOR, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    yield process, int(await process.stdout.readline())
    if process.returncode is None:
        process.terminate()
    await process.wait()


async def _workers(port: int, *, count: int = 2, but: frozenset[int] = frozenset()) -> set[int]:
    """The process ids that answer, once there are ``count`` of them apart from ``but``."""
    seen: set[int] = set()
    async with asyncio.timeout(60), httpx.AsyncClient() as client:
        while len(seen - but) < count:
            asked = [client.get(f"http://127.0.0.1:{port}/") for _ in range(8)]
            for answer in await asyncio.gather(*asked, return_exceptions=True):
                if isinstance(answer, httpx.Response):
                    seen.add(int(answer.text))
    return seen


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


async def _gone(pids: set[int], *, within: float) -> None:
    async with asyncio.timeout(within):
        while any(map(_alive, pids)):  # noqa: ASYNC110  # other processes set no event
            await asyncio.sleep(0.05)


async def test_a_killed_worker_is_replaced(parent: Parent) -> None:
    _, port = parent
    first = await _workers(port)
    killed = first.pop()
    os.kill(killed, signal.SIGKILL)
    assert first < await _workers(port, but=frozenset({killed}))


async def test_a_stop_finishes_the_answer_and_ends_every_process(parent: Parent, tmp_path: Path) -> None:
    process, port = parent
    pids = await _workers(port)
    async with httpx.AsyncClient(timeout=60) as client:
        asking = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/slow{tmp_path}/asked"))
        while not (tmp_path / "asked").exists():  # noqa: ASYNC110  # made by another process
            await asyncio.sleep(0.02)
        process.terminate()
        with pytest.raises(httpx.ConnectError):  # nobody queues on a socket that no one will accept from
            while not asking.done():
                with suppress(httpx.ReadError, httpx.RemoteProtocolError):  # taken by who then stopped
                    await client.get(f"http://127.0.0.1:{port}/")
        (tmp_path / "asked").unlink()
        assert (await asking).status_code == 200
    assert await asyncio.wait_for(process.wait(), 60) == 0
    assert not any(map(_alive, pids))


async def test_kill_9_of_the_parent_leaves_no_orphan(parent: Parent) -> None:
    process, port = parent
    pids = await _workers(port)
    process.kill()
    await process.wait()
    await _gone(pids, within=30)


async def test_a_worker_that_cannot_start_ends_the_attempt() -> None:
    bound = bind(Listener("public", "127.0.0.1", 0))
    failing = [sys.executable, "-ISc", "raise SystemExit(3)"]
    with pytest.raises(Unavailable, match="ended 5 times within 10 s of its start, last with status 3"):
        await supervise(failing, [bound], workers=2, stop=asyncio.Event())
    assert bound.fileno() == -1


DEAF = "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); \
pathlib.Path(sys.argv[1]).touch(); time.sleep(60)"


async def test_a_worker_that_does_not_end_is_killed(tmp_path: Path) -> None:
    stop = asyncio.Event()
    bound = bind(Listener("public", "127.0.0.1", 0))
    deaf = [sys.executable, "-ISc", DEAF, str(tmp_path / "ready")]
    running = asyncio.create_task(supervise(deaf, [bound], workers=1, stop=stop, patience=0.5))
    while not (tmp_path / "ready").exists():  # noqa: ASYNC110  # set by another process
        await asyncio.sleep(0.05)
    began = time.monotonic()
    stop.set()
    await asyncio.wait_for(running, 30)
    assert time.monotonic() - began >= 0.4


async def test_a_failing_supervision_leaves_no_worker() -> None:
    bound = bind(Listener("public", "127.0.0.1", 0))
    port = bound.getsockname()[1]
    running = asyncio.create_task(
        supervise([sys.executable, WORKER], [bound], workers=2, stop=asyncio.Event())
    )
    pids = await _workers(port)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await _gone(pids, within=30)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
