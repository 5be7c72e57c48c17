"""The plain thing: a Quart handler on stock Hypercorn with an asyncpg pool, no identity, no checks.

``python -m tests.bench._bare SOCKET_DIR PORT OWNER``: ``/postgres`` lets Postgres build the JSON, ``/python`` does it
as most handlers do.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import asyncpg
from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart, Response

COLUMNS = (
    "id, owner_id, team_id, external_id, created_at, updated_at, version,"
    " title, body, status, priority, due_at, completed_at, tags"
)
PAGE = f"""
SELECT {COLUMNS} FROM tasks WHERE team_id IS NULL AND owner_id = $1
ORDER BY created_at DESC, id DESC LIMIT 50
"""


def make_app(socket_dir: str, owner: str) -> Quart:
    app = Quart(__name__)
    pool: Any = None

    @app.before_serving
    async def connect() -> None:
        nonlocal pool
        settings = {"search_path": "mosaic, public"}
        pool = await asyncpg.create_pool(
            host=socket_dir, user="gateway", database="mosaic", server_settings=settings
        )

    @app.get("/postgres")
    async def by_postgres() -> Response:
        body = await pool.fetchval(
            f"SELECT json_build_object('items', json_agg(p))::text FROM ({PAGE}) p", owner
        )
        return Response(body, content_type="application/json")

    @app.get("/python")
    async def by_python() -> Response:
        rows = [dict(row) for row in await pool.fetch(PAGE, owner)]
        return Response(json.dumps({"items": rows}, default=str), content_type="application/json")

    return app


if __name__ == "__main__":
    socket_dir, port, owner = sys.argv[1:]
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.errorlog = None
    asyncio.run(serve(make_app(socket_dir, owner), config))
