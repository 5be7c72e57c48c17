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

from held_moves import STAGES, hold, let_go, until_held
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


@pytest.mark.parametrize("killed", ["tool", "source", "target"])
@pytest.mark.parametrize("stage", STAGES)
async def test_killed_at_each_stage(
    small: Home, victim: Postgres, reference: Undisturbed, stage: str, killed: str
) -> None:
    url = await victim.new_database()
    database = url.rsplit("/", 1)[1]
    async with victim.administration(database) as conn:
        await hold(conn, stage)
        tool = start(small, url)
        await until_held(conn, tool)
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
        await let_go(conn)
    await check(small, victim, url, reference)


async def test_what_an_interrupted_run_copied_is_not_copied_again(small: Home, victim: Postgres) -> None:
    url = await victim.new_database()
    async with victim.administration(url.rsplit("/", 1)[1]) as conn:
        await hold(conn, "copying", parts=3)
        tool = start(small, url)
        await until_held(conn, tool)
        tool.kill()
        tool.communicate()
        await let_go(conn)
    report = small.move(url)
    assert report["resumed"]
    assert report["rows_copied"] < report["rows"]
    assert await victim.content(url) == await small.content()


async def test_a_source_that_changed_since_is_copied_anew(changing: Home, victim: Postgres) -> None:
    url = await victim.new_database()
    async with victim.administration(url.rsplit("/", 1)[1]) as conn:
        await hold(conn, "cutting over")  # all rows are there
        tool = start(changing, url)
        await until_held(conn, tool)
        tool.kill()
        tool.communicate()
        await let_go(conn)
    async with changing.database() as conn:
        await conn.execute(
            "UPDATE samples SET note = 'changed' WHERE id = 107; DELETE FROM samples WHERE id = 114"
        )
    report = changing.move(url)
    assert not report["resumed"]
    assert await victim.content(url) == await changing.content()
