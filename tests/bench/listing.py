"""List 50 of 100,000 tasks: the whole gateway (identity, viewer, request ids, limits) against a bare handler."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import Row
from tests.bench._load import load
from tests.bench._seeding import seed_tasks

ROWS = 100_000
ROUNDS = 3


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def measure() -> list[Row]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ours, plain = free_port(), free_port()
        token, owner, socket_dir = await _prepare(stack, directory, ours)
        stack.enter_context(_process("-m", "tests.bench._bare", socket_dir, str(plain), owner))
        await asyncio.gather(_listening(ours), _listening(plain))
        bearer = f"authorization: Bearer {token}\r\n"
        targets = {
            "gateway": (ours, "/v1/tasks?limit=50", bearer),
            "bare, Postgres builds the JSON": (plain, "/postgres", ""),
            "bare, Python builds the JSON": (plain, "/python", ""),
        }
        return _rows(await _rounds(targets))


async def _rounds(targets: dict[str, tuple[int, str, str]]) -> dict[str, list[tuple[float, float, float]]]:
    results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in targets}
    for number in range(ROUNDS + 1):  # the first one warms up
        for name, target in targets.items():
            result = await load(*target, connections=16, seconds=1.0 if number == 0 else 4.0)
            if number:
                results[name].append(result)
    return results


def _rows(results: dict[str, list[tuple[float, float, float]]]) -> list[Row]:
    middle = {
        name: [median(column) for column in zip(*rounds, strict=True)] for name, rounds in results.items()
    }
    ours = middle.pop("gateway")
    return [
        Row(f"list 50 of {ROWS:,} tasks, {what} | {name}", unit, ours[i], plain[i])
        for name, plain in middle.items()
        for i, (what, unit) in enumerate([("throughput", "req/s"), ("p50", "ms"), ("p99", "ms")])
    ]


async def _prepare(stack: ExitStack, directory: Path, port: int) -> tuple[str, str, str]:
    """A gateway with seeded rows; return a token, its user's id and the directory of Postgres' socket."""
    federation = str(free_port())
    init = [
        "gateway",
        "init",
        str(directory / "g"),
        "--port",
        str(port),
        "--federation-port",
        federation,
        "--json",
    ]
    token = json.loads(_mosaic(*init))["token"]
    config = str(directory / "g" / "mosaic.config.json")
    owner = json.loads(_mosaic("--config", config, "user", "list", "--json"))[0]["id"]
    stack.enter_context(_process("-m", "mosaic_gateway.cli", "--config", config, "gateway", "start"))
    await _listening(port)
    return token, owner, await _seed(config, owner)


async def _seed(config: str, owner: str) -> str:
    from mosaic_gateway.boot import open_gateway
    from mosaic_gateway.compose import compose
    from mosaic_gateway.config import read_config

    async with open_gateway(compose(read_config(Path(config))), serving=False) as gateway:
        await seed_tasks(gateway.location, owner, ROWS)
        return gateway.location.host


def _mosaic(*args: str) -> str:
    command = [sys.executable, "-m", "mosaic_gateway.cli", *args]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class _process:
    def __init__(self, *args: str) -> None:
        self._process: Any = subprocess.Popen([sys.executable, *args], env=os.environ)

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)


async def _listening(port: int) -> None:
    for _ in range(900):  # a busy machine may need a minute
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise RuntimeError(f"nothing listens on port {port}")
