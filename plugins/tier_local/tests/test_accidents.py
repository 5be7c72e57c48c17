from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time

import pytest

from mosaic_tier_local import server


async def insert(conn, number: int) -> None:
    await conn.execute("CREATE TABLE IF NOT EXISTS t (x int)")
    await conn.execute("INSERT INTO t VALUES ($1)", number)


@pytest.mark.parametrize("loop", [(), ("--uvloop",)], ids=["asyncio", "uvloop"])
async def test_when_the_gateway_is_killed_postgres_ends_and_no_row_is_lost(
    person, hold, loop, postgres_pid, eventually
):
    first = hold(person.data_dir, "--serving", *loop, person=person)
    first.location()
    assert postgres_pid(person.data_dir)
    first.kill()
    await eventually(lambda: postgres_pid(person.data_dir) is None, within=60)
    second = hold(person.data_dir, "--serving", *loop, person=person)
    second.location()
    assert second.leave() == 0


async def test_rows_committed_before_the_gateway_was_killed_are_there_afterwards(
    storage, hold, data_dir, connected
):
    gateway = hold(data_dir, "--serving")
    async with connected(gateway.location()) as conn:
        await insert(conn, 1)
        gateway.kill()
    async with storage.open(serving=True) as location, connected(location) as conn:
        assert await conn.fetchval("SELECT x FROM t") == 1


async def test_a_postgres_that_outlived_its_gateway_is_replaced(
    storage, hold, data_dir, connected, postgres_pid, lives
):
    gateway = hold(data_dir, "--serving", "--no-death-signal")
    async with connected(gateway.location()) as conn:
        await insert(conn, 1)
    orphan = postgres_pid(data_dir)
    gateway.kill()
    await asyncio.sleep(0.2)
    assert postgres_pid(data_dir) == orphan
    async with storage.open(serving=False) as location, connected(location) as conn:
        assert await conn.fetchval("SELECT x FROM t") == 1
        assert postgres_pid(data_dir) not in (None, orphan)
    assert not lives(orphan)


async def test_a_killed_postgres_comes_back_with_its_rows(storage, connected, data_dir, postgres_pid):
    async with storage.open(serving=True) as location, storage.open(serving=False) as joined:
        async with connected(location) as conn:
            await insert(conn, 1)
        for _twice in range(2):
            os.kill(postgres_pid(data_dir), signal.SIGKILL)
            since = time.monotonic()
            while True:
                try:
                    async with connected(joined) as conn:
                        assert await conn.fetchval("SELECT x FROM t") == 1
                    break
                except (OSError, EOFError, Exception) as error:
                    assert not isinstance(error, AssertionError)
                    assert time.monotonic() - since < 30, error
                    await asyncio.sleep(0.01)


async def test_gateway_and_postgres_killed_together_is_no_obstacle(
    storage, hold, data_dir, connected, postgres_pid
):
    gateway = hold(data_dir, "--serving")
    async with connected(gateway.location()) as conn:
        await insert(conn, 1)
    pid = postgres_pid(data_dir)
    gateway.process.kill()
    os.kill(pid, signal.SIGKILL)
    gateway.process.wait(60)
    async with storage.open(serving=True) as location, connected(location) as conn:
        assert await conn.fetchval("SELECT x FROM t") == 1


async def test_restarts_end_after_too_many_failures_in_a_row(
    storage, data_dir, monkeypatch, postgres_pid, caplog, eventually, connected
):
    monkeypatch.setattr(server, "RESTARTS", 2)
    async with storage.open(serving=True):
        monkeypatch.setitem(server.SETTINGS, "shared_buffers", "no-number")
        os.kill(postgres_pid(data_dir), signal.SIGKILL)
        await eventually(lambda: "giving up" in caplog.text)
        assert caplog.text.count("Postgres did not start again") == 2
    monkeypatch.undo()
    async with storage.open(serving=True) as location, connected(location):
        pass


def sleeper(uid: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"], user=uid if os.geteuid() == 0 else None)


async def test_a_stale_pid_file_that_names_a_living_process_is_no_obstacle(
    storage, data_dir, hold, connected, postgres_pid
):
    gateway = hold(data_dir, "--serving")
    gateway.location()
    pid_file = data_dir / "postgres" / "postmaster.pid"
    text, owner = pid_file.read_text(), pid_file.stat()
    assert gateway.leave() == 0

    stranger = sleeper(owner.st_uid)
    pid_file.write_text(text.replace(text.splitlines()[0], str(stranger.pid), 1))
    os.chown(pid_file, owner.st_uid, owner.st_gid)
    shutil.copy(pid_file, data_dir / "postgres" / ".s.PGSQL.5432.lock")
    try:
        async with storage.open(serving=False) as location, connected(location) as conn:
            assert await conn.fetchval("SELECT 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_first_start_that_was_killed_is_done_again_from_the_beginning(
    storage, hold, data_dir, eventually, connected
):
    killed = hold(data_dir, "--serving")
    await eventually(lambda: list(data_dir.glob("postgres.init-*/base")))
    killed.kill()
    assert not (data_dir / "postgres").exists()
    async with storage.open(serving=True) as location, connected(location):
        await eventually(lambda: not list(data_dir.glob("postgres.init-*")))


async def test_a_shutdown_under_open_connections_is_prompt(storage, connected):
    async with storage.open(serving=True) as location:
        context = connected(location)
        conn = await context.__aenter__()
        busy = asyncio.create_task(conn.execute("SELECT pg_sleep(60)"))
        await asyncio.sleep(0.1)
        since = time.monotonic()
    assert time.monotonic() - since < 30
    with pytest.raises(Exception, match=r"terminat|closed|lost"):
        await busy
