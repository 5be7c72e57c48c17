"""kill -9 at random moments, of the tool and of either server: the same command again ends with the same rows."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from mosaic_tier_local.server import postmaster

if TYPE_CHECKING:
    from conftest import Home, Postgres

    from mosaic_migrations.tier import Report

TRANSFER = "SELECT to_regclass('mosaic_transfer.job') IS NOT NULL"
AGAIN = "give the same command again"

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Undisturbed:
    """What a run that nothing happens to reports, and what the source holds."""

    report: Report
    rows: dict[str, str]


@pytest.fixture(scope="module")
def reference(small: Home, victim: Postgres) -> Undisturbed:
    async def run() -> Undisturbed:
        report = await small.move_here(victim.location(await victim.new_database()))
        return Undisturbed(report, await small.content())

    return asyncio.run(run())


def hashes(report: Report) -> dict[str, str]:
    return {table.name: str(table.target) for table in report.tables}


async def begun(server: Postgres, url: str, tool: subprocess.Popen[str]) -> None:
    """Wait until the tool has written its first line on the target."""
    async with server.administration(url.rsplit("/", 1)[1]) as conn:
        while not await conn.fetchval(TRANSFER):
            assert tool.poll() is None, tool.communicate()
            await asyncio.sleep(0.005)


def start(home: Home, url: str) -> subprocess.Popen[str]:
    return home.popen("storage", "migrate-tier", "--to", "standalone", "--target", url, "--yes", "--json")


def moments(number: int, reference: Undisturbed) -> list[float]:
    """Delays in seconds, spread over the length of an undisturbed run."""
    seed = int(os.environ.get("KILL_SEED", time.time()))
    print(f"KILL_SEED={seed}")
    return [(k + random.Random(seed + k).random()) * reference.report.seconds / number for k in range(number)]


async def check(home: Home, server: Postgres, url: str, reference: Undisturbed) -> Report:
    """Move again, and look at what is there then."""
    report = await home.move_here(server.location(url))
    assert hashes(report) == hashes(reference.report)
    assert await server.content(url) == reference.rows
    async with server.database(url) as conn:
        schemas = "SELECT array_agg(nspname::text) FROM pg_namespace WHERE nspname LIKE 'mosaic%'"
        assert await conn.fetchval(schemas) == ["mosaic"]
    return report


def kill_source(home: Home) -> None:
    if running := postmaster(home.data_dir / "postgres"):
        os.kill(running[0], signal.SIGKILL)


def ended_well(tool: subprocess.Popen[str]) -> None:
    """Done before the kill, or refused with what to do."""
    out, err = tool.communicate(timeout=60)
    assert tool.returncode == 0 or (tool.returncode == 5 and AGAIN in err), out + err


async def test_the_tool_killed_at_ten_moments(small: Home, victim: Postgres, reference: Undisturbed) -> None:
    for delay in moments(10, reference):
        url = await victim.new_database()
        tool = start(small, url)
        await begun(victim, url, tool)
        await asyncio.sleep(delay)
        tool.kill()
        tool.communicate()
        await check(small, victim, url, reference)


async def test_the_target_server_killed_at_five_moments(
    small: Home, victim: Postgres, reference: Undisturbed
) -> None:
    for delay in moments(5, reference):
        url = await victim.new_database()
        tool = start(small, url)
        await begun(victim, url, tool)
        await asyncio.sleep(delay)
        victim.kill()
        ended_well(tool)
        victim.start()
        await victim.until_ready()
        await check(small, victim, url, reference)


async def test_the_source_server_killed_at_five_moments(
    small: Home, victim: Postgres, reference: Undisturbed
) -> None:
    for delay in moments(5, reference):
        url = await victim.new_database()
        tool = start(small, url)
        await begun(victim, url, tool)
        await asyncio.sleep(delay)
        kill_source(small)
        ended_well(tool)
        await check(small, victim, url, reference)


async def test_killed_again_and_again_it_still_goes_on(
    small: Home, victim: Postgres, reference: Undisturbed
) -> None:
    url = await victim.new_database()
    for delay in moments(6, reference):
        tool = start(small, url)
        await begun(victim, url, tool)
        await asyncio.sleep(delay / 2)
        tool.kill()
        tool.communicate()
        async with victim.database(url) as conn:
            if await conn.fetchval("SELECT to_regclass('mosaic.users') IS NOT NULL"):
                break
    small.move(url)  # by its command, this time
    assert await victim.content(url) == reference.rows == await small.content()


#: Where the target makes the tool wait: the tag of a command, and a condition beside.
STAGES = {
    "preparing": ("CREATE TABLE", "to_regclass('mosaic_incoming.users') IS NOT NULL"),
    "copying": ("CREATE TABLE", "to_regclass('mosaic_transfer.chunks') IS NOT NULL"),
    "indexing": ("CREATE INDEX", "EXISTS (SELECT FROM mosaic_transfer.job WHERE structure IS NOT NULL)"),
    "constraining": ("ALTER TABLE", "EXISTS (SELECT FROM mosaic_transfer.job WHERE structure IS NOT NULL)"),
    "cutting over": ("ALTER SCHEMA", "true"),
}
_WAIT = """
CREATE FUNCTION public.wait_here() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(4242);
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
"""
_STOP = "PERFORM pg_advisory_xact_lock_shared(4242)"
#: Rows are no command that an event trigger sees: noting the first part of them waits.
_STOP_AT_ROWS = """
        IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'wait_here') THEN
            CREATE TRIGGER wait_here AFTER UPDATE ON mosaic_transfer.chunks
            FOR EACH STATEMENT EXECUTE FUNCTION public.wait_here();
        END IF
"""
WAITING = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 4242 AND NOT granted)"


@pytest.mark.parametrize("killed", ["tool", "source", "target"])
@pytest.mark.parametrize("stage", STAGES)
async def test_killed_at_each_stage(
    small: Home, victim: Postgres, reference: Undisturbed, stage: str, killed: str
) -> None:
    url = await victim.new_database()
    database = url.rsplit("/", 1)[1]
    tag, condition = STAGES[stage]
    action = _STOP_AT_ROWS if stage == "copying" else _STOP
    async with victim.administration(database) as conn:
        await conn.execute(_WAIT.format(tag=tag, condition=condition, action=action))
        await conn.execute("SELECT pg_advisory_lock(4242)")
        tool = start(small, url)
        while not await conn.fetchval(WAITING):
            assert tool.poll() is None, tool.communicate()
            await asyncio.sleep(0.01)
        if killed == "tool":
            tool.kill()
        elif killed == "source":
            kill_source(small)
        else:
            victim.kill()
    if killed == "tool":
        tool.communicate()
    else:
        ended_well(tool)
    if killed == "target":
        victim.start()
        await victim.until_ready()
    async with victim.administration(database) as conn:
        await conn.execute("DROP EVENT TRIGGER at_stage")
        if await conn.fetchval("SELECT to_regclass('mosaic_transfer.chunks') IS NOT NULL"):
            await conn.execute("DROP TRIGGER IF EXISTS wait_here ON mosaic_transfer.chunks")
    await check(small, victim, url, reference)


async def test_what_an_interrupted_run_copied_is_not_copied_again(small: Home, victim: Postgres) -> None:
    url = await victim.new_database()
    tool = start(small, url)
    async with victim.administration(url.rsplit("/", 1)[1]) as conn:
        done = "SELECT count(*) FROM mosaic_transfer.chunks WHERE rows > 0"
        while not await conn.fetchval(TRANSFER) or await conn.fetchval(done) < 3:
            assert tool.poll() is None, tool.communicate()
            await asyncio.sleep(0.002)
        tool.kill()
        tool.communicate()
    report = small.move(url)
    assert report["resumed"]
    assert report["rows_copied"] < report["rows"]
    assert await victim.content(url) == await small.content()


async def test_a_source_that_changed_since_is_copied_anew(changing: Home, victim: Postgres) -> None:
    url = await victim.new_database()
    tool = start(changing, url)
    async with victim.administration(url.rsplit("/", 1)[1]) as conn:
        while not await conn.fetchval(TRANSFER) or not await conn.fetchval(
            "SELECT count(*) FROM mosaic_transfer.chunks WHERE relation = 'samples' AND rows > 0"
        ):
            assert tool.poll() is None, tool.communicate()
            await asyncio.sleep(0.002)
        tool.kill()
        tool.communicate()
    async with changing.database() as conn:
        await conn.execute(
            "UPDATE samples SET note = 'changed' WHERE id = 107; DELETE FROM samples WHERE id = 114"
        )
    report = changing.move(url)
    assert not report["resumed"]
    assert await victim.content(url) == await changing.content()
