from __future__ import annotations

import asyncio
import re

import pytest

from mosaic_hookspecs.errors import ConfigError, Unavailable
from mosaic_tier_local import storage as storage_module


async def test_a_command_joins_the_running_gateway_and_leaves_it_running(
    person, hold, connected, postgres_pid
):
    gateway = hold(person.data_dir, "--serving", person=person)
    gateway.location()
    pid = postgres_pid(person.data_dir)
    command = hold(person.data_dir, person=person)
    command.location()
    assert command.leave() == 0
    assert postgres_pid(person.data_dir) == pid
    assert gateway.leave() == 0


async def test_commands_started_at_once_on_an_empty_directory_share_one_postgres(person, hold, postgres_pid):
    commands = [hold(person.data_dir, person=person) for _ in range(4)]
    for command in commands:
        command.location()
    assert postgres_pid(person.data_dir)
    for command in commands:
        command.process.stdin.close()
    assert [command.process.wait(60) for command in commands] == [0, 0, 0, 0]
    assert postgres_pid(person.data_dir) is None


async def test_commands_coming_and_going_never_lose_their_database(storage, connected):
    async def command(number: int) -> None:
        await asyncio.sleep(number * 0.03 % 0.5)
        async with storage.open(serving=False) as location, connected(location) as conn:
            await conn.execute(f"CREATE TABLE t{number} ()")
            await asyncio.sleep(number * 0.01 % 0.1)
            await conn.fetchval(f"SELECT count(*) FROM t{number}")

    await asyncio.gather(*(command(number) for number in range(20)))


async def test_a_second_gateway_is_refused_and_the_first_is_unharmed(
    storage, hold, data_dir, connected, postgres_pid
):
    first = hold(data_dir, "--serving")
    location = first.location()
    pid = postgres_pid(data_dir)
    async with connected(location) as conn:
        with pytest.raises(ConfigError, match=rf"another gateway \(pid {first.process.pid}\)") as caught:
            async with storage.open(serving=True):
                pass
        assert "stop that one" in caught.value.remedy
        assert await conn.fetchval("SELECT 1") == 1
    assert postgres_pid(data_dir) == pid
    assert first.leave() == 0
    async with storage.open(serving=True) as location, connected(location):
        pass


async def test_two_gateways_started_at_once_end_as_one(hold, data_dir):
    both = [hold(data_dir, "--serving") for _ in range(2)]
    assert sorted(each.said().split()[0] for each in both) == ["open", "refused"]


async def test_the_owner_waits_for_those_who_joined(hold, data_dir, postgres_pid, connected):
    owner = hold(data_dir)
    owner.location()
    joined = hold(data_dir)
    location = joined.location()
    owner.process.stdin.close()
    async with connected(location) as conn:
        await asyncio.sleep(0.5)
        assert await conn.fetchval("SELECT 1") == 1
    assert joined.leave() == 0
    assert owner.process.wait(60) == 0
    assert postgres_pid(data_dir) is None


async def test_a_gateway_waits_for_a_short_command_and_then_owns_its_own(hold, data_dir, postgres_pid):
    command = hold(data_dir)
    command.location()
    before = postgres_pid(data_dir)
    gateway = hold(data_dir, "--serving")
    await asyncio.sleep(0.5)
    assert postgres_pid(data_dir) == before
    assert command.leave() == 0
    gateway.location()
    assert postgres_pid(data_dir) not in (None, before)


async def test_a_gateway_gives_up_on_a_command_that_does_not_end(storage, hold, data_dir, monkeypatch):
    monkeypatch.setattr(storage_module, "WAIT", 0.3)
    command = hold(data_dir)
    command.location()
    with pytest.raises(Unavailable, match=re.escape(f"(pid {command.process.pid})")):
        async with storage.open(serving=True):
            pass
    assert command.leave() == 0
