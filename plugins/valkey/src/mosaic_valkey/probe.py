"""The probe ``valkey``: is it there, may we in, is it new enough, may it be written to, will it keep our jobs?"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import Finding, Probe
from mosaic_valkey.server import Server, explain, server_of
from mosaic_valkey.wire import ask, dial

_OLDEST = (6, 2)  # of the Redis protocol; every Valkey has it
_PATIENCE = 4.5  # seconds; less than a probe has, so that it can say why


def valkey_probe(host: Host) -> Probe:
    """One connection and one INFO."""

    async def check() -> Finding:
        server = server_of(host)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(_PATIENCE):
                info = _parsed(await _info(server))
        except TimeoutError as error:
            raise explain(error, server) from None
        return judge(info, server.place, (time.perf_counter() - started) * 1000)

    return Probe("valkey", check, standalone=True)


async def _info(server: Server) -> Any:
    wire = await dial(server, lambda _: None)
    try:
        return await ask(wire, server, "INFO")
    finally:
        wire.abort()


def judge(info: dict[str, str], place: str, latency: float) -> Finding:
    """What the answer to INFO means; ``latency`` in ms."""
    product, version = _product(info)
    what = f"{product} at {place}"
    if _numbers(info.get("redis_version", "")) < _OLDEST:
        return Finding("red", f"{what} is {version}: too old", "upgrade to Valkey 7.2 or Redis 6.2, or newer")
    if info.get("loading") == "1":
        return Finding("red", f"{what} is still loading its data", "wait a moment and try again")
    if info.get("role") != "master":
        return Finding("red", f"{what} is a read-only replica", "point queue.url at the primary")
    if info.get("maxmemory") != "0" and info.get("maxmemory_policy") != "noeviction":
        policy = info.get("maxmemory_policy")
        detail = f"{what} may throw jobs away: its maxmemory-policy is {policy}"
        return Finding("yellow", detail, "set maxmemory-policy noeviction there")
    return Finding("green", f"{product} {version} at {place}, {latency:.1f} ms")


def _product(info: dict[str, str]) -> tuple[str, str]:
    if "valkey_version" in info:
        return "Valkey", info["valkey_version"]
    return "Redis", info.get("redis_version", "of unknown version")


def _parsed(info: bytes) -> dict[str, str]:
    lines = info.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith(("#", "txt:")))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
