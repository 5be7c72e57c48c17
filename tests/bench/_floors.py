"""What federation is compared with: the same indexed query, no grant, no scope, no limit, no audit.

``quart_app`` for stock Hypercorn, ``bare_app`` for uvicorn; ``python -m tests.bench._floors SECONDS`` is the asyncpg
loop alone and prints its answers per second. BENCH_POSTGRES and BENCH_OWNER say where and whose.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

import asyncpg
import uvloop
from quart import Quart, Response
from tests.bench._bare import PAGE

QUERY = f"SELECT json_build_object('items', json_agg(p))::text FROM ({PAGE}) p"
_OWNER = os.environ.get("BENCH_OWNER", "")
_LOOPS = 4  # connections of the loop alone: enough to keep Postgres busy


def _postgres() -> dict[str, Any]:
    return {
        "host": os.environ["BENCH_POSTGRES"],
        "user": "gateway",
        "database": "mosaic",
        "server_settings": {"search_path": "mosaic, public"},
    }


quart_app = Quart(__name__)
_pool: Any = None


@quart_app.before_serving
async def _connect() -> None:
    global _pool  # noqa: PLW0603
    _pool = await asyncpg.create_pool(**_postgres())


@quart_app.get("/")
async def _page() -> Response:
    return Response(await _pool.fetchval(QUERY, _OWNER), content_type="application/json")


async def bare_app(scope: Any, receive: Any, send: Any) -> None:
    """The least that answers: no framework, no routing."""
    if scope["type"] == "lifespan":
        await receive()
        await _connect()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = (await _pool.fetchval(QUERY, _OWNER)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _loop_alone(seconds: float) -> float:
    async def ask() -> int:
        connection, answers = await asyncpg.connect(**_postgres()), 0
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            (await connection.fetchval(QUERY, _OWNER)).encode()
            answers += 1
        await connection.close()
        return answers

    return sum(await asyncio.gather(*(ask() for _ in range(_LOOPS)))) / seconds


if __name__ == "__main__":
    print(uvloop.run(_loop_alone(float(sys.argv[1]))))
