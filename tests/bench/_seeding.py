"""Many rows, quickly: loaded into an empty table, whose indexes are built afterwards, in one transaction."""

from __future__ import annotations

from mosaic_gateway.database import connect
from mosaic_hookspecs.types import DatabaseLocation

_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE tablename = 'tasks' AND indexdef NOT LIKE 'CREATE UNIQUE INDEX tasks_pkey%'
"""
_ROWS = """
INSERT INTO tasks (owner_id, title, body, created_at)
SELECT '{owner}', 'Task ' || n, repeat('word ', 20), now() - n * interval '1 second'
FROM generate_series(1, {rows}) n
"""


async def seed_tasks(location: DatabaseLocation, owner: str, rows: int) -> None:
    """So many tasks of one owner, the newest first, and no others.

    A table that was emptied in the same transaction writes nothing to the log of changes where that is minimal. No
    trigger of ours fires: nobody has to be told.
    """
    connection = await connect(location)
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL maintenance_work_mem = '512MB'")
            await connection.execute("TRUNCATE tasks")
            await connection.execute("ALTER TABLE tasks DISABLE TRIGGER USER")
            indexes = await connection.fetch(_INDEXES)
            for name, _ in indexes:
                await connection.execute(f"DROP INDEX {name}")
            await connection.execute(_ROWS.format(owner=owner, rows=rows))
            for _, definition in indexes:
                await connection.execute(definition)
            await connection.execute("ALTER TABLE tasks ENABLE TRIGGER USER")
        await connection.execute("VACUUM ANALYZE tasks")
    finally:
        await connection.close()
