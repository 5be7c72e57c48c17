"""kill -9 at random moments, of the tool and of either server: the same command again ends with the same rows."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from mosaic_tier_local.server import postmaster

if TYPE_CHECKING:
    from conftest import Home, Postgres

TRANSFER = "SELECT to_regclass('mosaic_transfer.job') IS NOT NULL"
pytestmark = pytest.mark.timeout(300)

AGAIN = "give the same command again"


@pytest.fixture(scope="module")
def reference(small: Home, victim: Postgres) -> dict[str, Any]:
    """What an undisturbed run reports."""
    return small.move(asyncio.run(victim.new_database()))


def hashes(report: dict[str, Any]) -> dict[str, str]:
    return {table["table"]: table["target_hash"] for table in report["tables"]}


async def begun(server: Postgres, url: str, tool: subprocess.Popen[str]) -> None:
    """Wait until the tool has written its first line on the target."""
    async with server.administration(url.rsplit("/", 1)[1]) as conn:
        while not await conn.fetchval(TRANSFER):
            assert tool.poll() is None, tool.communicate()
            await asyncio.sleep(0.005)


def start(home: Home, url: str) -> subprocess.Popen[str]:
    return home.popen("storage", "migrate-tier", "--to", "standalone", "--target", url, "--yes", "--json")


def moments(number: int, reference: dict[str, Any]) -> list[float]:
    """Delays in seconds, spread over the length of an undisturbed run."""
    seed = int(os.environ.get("KILL_SEED", time.time()))
    print(f"KILL_SEED={seed}")
    length = float(reference["seconds"])
    return [(k + random.Random(seed + k).random()) * length / number for k in range(number)]


async def check(home: Home, server: Postgres, url: str, reference: dict[str, Any]) -> dict[str, Any]:
    report = home.move(url)
    assert hashes(report) == hashes(reference)
    assert await server.content(url) == await home.content()
    async with server.database(url) as conn:
        schemas = "SELECT array_agg(nspname::text) FROM pg_namespace WHERE nspname LIKE 'mosaic%'"
        assert await conn.fetchval(schemas) == ["mosaic"]
    return report


async def test_the_tool_killed_at_ten_moments(
    small: Home, victim: Postgres, reference: dict[str, Any]
) -> None:
    for delay in moments(10, reference):
        url = await victim.new_database()
        tool = start(small, url)
        await begun(victim, url, tool)
        await asyncio.sleep(delay)
        tool.kill()
        tool.communicate()
        await check(small, victim, url, reference)


async def test_the_target_server_killed_at_five_moments(
    small: Home, victim: Postgres, reference: dict[str, Any]
) -> None:
    for delay in moments(5, reference):
        url = await victim.new_database()
        tool = start(small, url)
        await begun(victim, url, tool)
        await asyncio.sleep(delay)
        victim.kill()
        out, err = tool.communicate(timeout=30)
        assert tool.returncode == 0 or (tool.returncode == 5 and AGAIN in err), out + err
        victim.start()
        await victim.until_ready()
        await check(small, victim, url, reference)


async def test_the_source_server_killed_at_five_moments(
    small: Home, victim: Postgres, reference: dict[str, Any]
) -> None:
    for delay in moments(5, reference):
        url = await victim.new_database()
        tool = start(small, url)
        await begun(victim, url, tool)
        await asyncio.sleep(delay)
        if running := postmaster(small.data_dir / "postgres"):
            os.kill(running[0], signal.SIGKILL)
        out, err = tool.communicate(timeout=30)
        assert tool.returncode == 0 or (tool.returncode == 5 and AGAIN in err), out + err
        await check(small, victim, url, reference)


async def test_killed_again_and_again_it_still_goes_on(
    small: Home, victim: Postgres, reference: dict[str, Any]
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
