"""Has `migrate-tier` wait at a stage, by triggers on its target: what a test does then, it does in the middle."""

from __future__ import annotations

import asyncio
import subprocess

import asyncpg

#: Where it waits: the tag of a command, and a condition beside.
STAGES = {
    "preparing": ("CREATE TABLE", "to_regclass('mosaic_incoming.users') IS NOT NULL"),
    "copying": ("CREATE TABLE", "to_regclass('mosaic_transfer.chunks') IS NOT NULL"),
    "indexing": ("CREATE INDEX", "EXISTS (SELECT FROM mosaic_transfer.job WHERE structure IS NOT NULL)"),
    "constraining": ("ALTER TABLE", "EXISTS (SELECT FROM mosaic_transfer.job WHERE structure IS NOT NULL)"),
    "cutting over": ("ALTER SCHEMA", "true"),
}
_HOLD = """
CREATE FUNCTION public.wait_here() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM mosaic_transfer.chunks WHERE rows > 0) > {parts} THEN
        PERFORM pg_advisory_xact_lock_shared(4242);
    END IF;
    RETURN NULL;
END
$$;
CREATE FUNCTION public.at_stage() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF {condition} THEN
        {action};
    END IF;
END
$$;
CREATE EVENT TRIGGER at_stage ON ddl_command_end WHEN TAG IN ('{tag}') EXECUTE FUNCTION public.at_stage();
SELECT pg_advisory_lock(4242)
"""
_STOP = "PERFORM pg_advisory_xact_lock_shared(4242)"
#: Rows are no command that an event trigger sees: noting a part of them waits.
_STOP_AT_ROWS = """
        IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'wait_here') THEN
            CREATE TRIGGER wait_here AFTER UPDATE ON mosaic_transfer.chunks
            FOR EACH STATEMENT EXECUTE FUNCTION public.wait_here();
        END IF
"""
_WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 4242 AND NOT granted)"


async def hold(superuser: asyncpg.Connection, stage: str, *, parts: int = 0) -> None:
    """Have a move that begins after this wait at ``stage``; at "copying", once so many parts have arrived."""
    tag, condition = STAGES[stage]
    action = _STOP_AT_ROWS if stage == "copying" else _STOP
    await superuser.execute(_HOLD.format(parts=parts, tag=tag, condition=condition, action=action))


async def until_held(superuser: asyncpg.Connection, tool: subprocess.Popen[str]) -> None:
    """Return when it waits there."""
    while not await superuser.fetchval(_WAITS):
        assert tool.poll() is None, tool.communicate()
        await asyncio.sleep(0.01)


async def let_go(superuser: asyncpg.Connection) -> None:
    """Have it, and any other, go on."""
    await superuser.execute("RESET ROLE; SELECT pg_advisory_unlock_all(); DROP EVENT TRIGGER at_stage")
    if await superuser.fetchval("SELECT to_regclass('mosaic_transfer.chunks') IS NOT NULL"):
        await superuser.execute("DROP TRIGGER IF EXISTS wait_here ON mosaic_transfer.chunks")
