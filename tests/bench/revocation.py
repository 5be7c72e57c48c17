"""How long a revoked peer is still answered: busy keep-alive connections to two workers, until each is refused.

Counted from before the revocation is asked for, so with its own transaction, to the last of the connections that met a
403 or its end. Beside it, as the plain thing, the second that is promised. Environment: BENCH_REVOCATIONS (20).
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

from tests.bench import Row
from tests.bench.federated import _site

from mosaic_federation.grants import Grants
from mosaic_federation.keys import client_context, key_pem, new_key, signing_request
from mosaic_federation.scopes import ScopeRequest
from mosaic_gateway.boot import open_gateway
from mosaic_gateway.compose import compose
from mosaic_gateway.config import read_config

_TIMES = int(os.environ.get("BENCH_REVOCATIONS", "20"))
_CONNECTIONS = 8
_BUSY = 25  # answers on each connection before the revocation
_PROMISED = 1000.0  # ms
_ASK = b"GET /federation/v1/tasks?limit=10 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"


async def measure() -> list[Row]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mosaic-bench-", dir="/tmp")))
        directory.chmod(0o711)
        site = await _site(stack, directory / "work", 1000, 0, 2, audit=True)
        config = read_config(directory / "work" / "mosaic.config.json")
        async with open_gateway(compose(config), serving=False) as gateway:
            grants = Grants(gateway.composition.view("federation"))
            taken = [await _one(grants, site.port, f"peer-{number}") for number in range(_TIMES)]
    what = f"revoked until refused on all of {_CONNECTIONS} busy connections, 2 workers"
    return [
        Row(f"{what}: median of {_TIMES} | promised", "ms", median(taken), _PROMISED),
        Row(f"{what}: longest of {_TIMES} | promised", "ms", max(taken), _PROMISED),
    ]


async def _one(grants: Grants, port: int, peer: str) -> float:
    """Milliseconds."""
    grant_id, tls = await _enrolled(grants, peer)
    busy = [asyncio.Semaphore(0) for _ in range(_CONNECTIONS)]
    asking = [asyncio.create_task(_until_refused(port, tls, each)) for each in busy]
    for each in busy:
        for _ in range(_BUSY):
            await each.acquire()
    began = time.perf_counter()
    await grants.revoke(grant_id, actor="bench")
    return (max(await asyncio.gather(*asking)) - began) * 1000


async def _enrolled(grants: Grants, peer: str) -> tuple[UUID, ssl.SSLContext]:
    scope = ScopeRequest(("tasks",), personal=True)
    offer = await grants.create(subject="admin", peer=peer, scope=scope, actor="bench")
    key = new_key()
    body = json.dumps({"csr": signing_request(key).decode(), "name": peer}).encode()
    request = urllib.request.Request(offer.url.partition("#")[0], body, {"content-type": "application/json"})
    issued = await asyncio.to_thread(_answer, request)
    ca, chain = issued["ca"].encode(), issued["chain"].encode()
    return offer.grant.id, client_context(ca=ca, chain=chain, key=key_pem(key))


def _answer(request: urllib.request.Request) -> Any:
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


async def _until_refused(port: int, tls: ssl.SSLContext, busy: asyncio.Semaphore) -> float:
    """Ask again and again on one connection; return when it was refused, or ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        while True:
            writer.write(_ASK)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
            if b" 403" in head.split(b"\r\n", 1)[0]:
                return time.perf_counter()
            if b" 200" not in head.split(b"\r\n", 1)[0]:
                raise RuntimeError(f"the gateway answered {head!r}")
            busy.release()
    except (asyncio.IncompleteReadError, OSError):
        return time.perf_counter()
    finally:
        writer.transport.abort()
