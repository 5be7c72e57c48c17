"""Rotation in a real database: what changes meanwhile, what does not open, what nobody declares, what is killed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mosaic_gateway.database import Pool, Statements, connect
from mosaic_gateway.health.files import file_probes
from mosaic_gateway.sealing import (
    ENVIRONMENT,
    KeyFile,
    Keyring,
    Keys,
    count,
    create_keys,
    lock,
    retire,
    rotate,
)
from mosaic_hookspecs.errors import ConfigError, Conflict
from mosaic_hookspecs.types import DatabaseLocation, SealedColumn

THINGS = SealedColumn("things", "sealed", "name", "things/{name}/secret")
NUMBERED = SealedColumn("numbered", "sealed", "id", "numbered/{id}/secret")
COLUMNS = [THINGS, NUMBERED]


def silent(_column: str, _done: int) -> None:
    return


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    """A gateway's key file."""
    create_keys(tmp_path / "keys.json")
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
async def ring(pool: Pool, file: KeyFile) -> Keyring:
    """Its keyring, with 250 secrets sealed in one table and one in another."""
    await pool.execute("CREATE TABLE things (name text PRIMARY KEY, sealed bytea)")
    await pool.execute("CREATE TABLE numbered (id integer PRIMARY KEY, sealed bytea)")
    ring = Keyring.read(file.path)
    names = [f"n{number} {{name}}" for number in range(250)]
    await pool.executemany(
        "INSERT INTO things VALUES ($1, $2)",
        [(name, ring.seal(name.encode(), place=f"things/{name}/secret")) for name in names],
    )
    await pool.execute("INSERT INTO things VALUES ('erased', NULL)")
    await pool.execute("INSERT INTO numbered VALUES (1, $1)", ring.seal(b"one", place="numbered/1/secret"))
    return ring


async def all_open(pool: Pool, ring: Keyring) -> set[str]:
    rows = await pool.fetch("SELECT name, sealed FROM things WHERE sealed IS NOT NULL")
    for row in rows:
        assert ring.open(row["sealed"], place=THINGS.place_of(row["name"])) == row["name"].encode()
    return {each.key for each in await count(pool, COLUMNS) if each.key}


def as_if_long_ago(file: KeyFile) -> None:
    """Make the keys look settled."""
    keys = file.read()
    file.write(replace(keys, made={key: datetime.now(UTC) - timedelta(days=1) for key in keys.keys}))


async def test_every_secret_is_sealed_anew_and_the_old_key_can_go(
    pool: Pool, ring: Keyring, file: KeyFile
) -> None:
    old = ring.keys.active
    seen: list[int] = []
    report = await rotate(pool, ring, COLUMNS, lambda _column, done: seen.append(done))
    assert (report.added, report.resealed, report.faults, report.unknown) == (True, 251, [], [])
    assert seen == sorted(seen)
    assert seen[-1] == 251
    assert await all_open(pool, ring) == {report.key}
    with pytest.raises(Conflict, match="so new"):
        await retire(pool, ring, COLUMNS)
    as_if_long_ago(file)
    assert await retire(pool, ring, COLUMNS) == [old]
    assert await retire(pool, ring, COLUMNS) == []
    assert list(Keyring.read(file.path).keys.keys) == [report.key]
    assert await all_open(pool, Keyring.read(file.path)) == {report.key}


async def test_a_key_in_use_is_not_retired(pool: Pool, ring: Keyring, file: KeyFile) -> None:
    file.write(file.read().with_new())
    as_if_long_ago(file)
    with pytest.raises(Conflict) as caught:
        await retire(pool, ring, COLUMNS)
    assert {fault.where for fault in caught.value.faults} == {"things.sealed", "numbered.sealed"}
    assert len(file.read().keys) == 2


async def test_an_interrupted_rotation_is_taken_up_with_its_own_key(
    pool: Pool, ring: Keyring, file: KeyFile
) -> None:
    class Killed(Exception):
        pass

    def kill(_column: str, done: int) -> None:
        if done >= 101:
            raise Killed

    with pytest.raises(Killed):
        await rotate(pool, ring, COLUMNS, kill)
    begun = file.read()
    assert begun.unfinished
    with pytest.raises(Conflict, match="not ended"):
        await retire(pool, ring, COLUMNS)
    report = await rotate(pool, Keyring.read(file.path), COLUMNS, silent)
    assert (report.added, report.key) == (False, begun.active)
    assert 0 < report.resealed < 251
    assert await all_open(pool, ring) == {begun.active}
    assert (await rotate(pool, ring, COLUMNS, silent)).added


async def test_what_changes_meanwhile_is_never_overwritten(pool: Pool, ring: Keyring, file: KeyFile) -> None:
    other = Keyring.read(file.path)  # a gateway that runs, with keys it read before
    stop = asyncio.Event()
    written: dict[str, bytes] = {}

    async def write() -> None:
        number = 0
        while not stop.is_set():
            name = f"n{number % 250} {{name}}"
            written[name] = f"{name} in round {number}".encode()
            sealed = other.seal(written[name], place=THINGS.place_of(name))
            await pool.execute("UPDATE things SET sealed = $2 WHERE name = $1", name, sealed)
            number += 7

    writer = asyncio.create_task(write())
    reports = []
    while len(reports) < 5 or len(written) < 250:
        reports.append(await rotate(pool, ring, COLUMNS, silent))
    stop.set()
    await writer
    assert sum(report.resealed for report in reports) > 250
    for row in await pool.fetch("SELECT name, sealed FROM things WHERE sealed IS NOT NULL"):
        assert ring.open(row["sealed"], place=THINGS.place_of(row["name"])) == written[row["name"]]


async def test_what_does_not_open_is_named_and_the_rest_goes_on(
    pool: Pool, ring: Keyring, file: KeyFile
) -> None:
    flip = "set_byte(sealed, length(sealed) - 1, get_byte(sealed, length(sealed) - 1) # 1)"
    await pool.execute(f"UPDATE things SET sealed = {flip} WHERE name = 'n3 {{name}}'")
    await pool.execute(
        "UPDATE things SET sealed = (SELECT sealed FROM things WHERE name = 'n5 {name}') WHERE name = 'n4 {name}'"
    )
    await pool.execute("UPDATE things SET sealed = 'in clear' WHERE name = 'n6 {name}'")
    report = await rotate(pool, ring, COLUMNS, silent)
    assert {fault.where for fault in report.faults} == {
        f"things/n{number} {{name}}/secret" for number in (3, 4, 6)
    }
    assert report.resealed == 251 - 3
    assert "in clear" not in str(report.faults)
    as_if_long_ago(file)
    with pytest.raises(Conflict) as caught:
        await retire(pool, ring, COLUMNS)
    assert "2 with" in str(caught.value.faults[0])
    await pool.execute("DELETE FROM things WHERE name ~ '^n[346] '")
    assert len(await retire(pool, ring, COLUMNS)) == 1


async def test_what_a_plugin_that_is_not_loaded_has_sealed_keeps_the_old_key(
    pool: Pool, ring: Keyring, file: KeyFile
) -> None:
    await pool.execute('CREATE TABLE "Left behind" (id integer, "a ""secret" bytea)')
    await pool.execute(
        "INSERT INTO \"Left behind\" VALUES (1, $1), (2, 'no envelope')", ring.seal(b"x", place="p")
    )
    old = ring.keys.active
    report = await rotate(pool, ring, COLUMNS, silent)
    [left] = report.unknown
    assert (left.table, left.column, left.key, left.envelopes) == ("Left behind", 'a "secret', old, 1)
    as_if_long_ago(file)
    with pytest.raises(Conflict, match="no loaded plugin"):
        await retire(pool, ring, COLUMNS)


async def test_two_at_a_time_are_refused(postgres: DatabaseLocation, pool: Pool) -> None:
    location = replace(postgres, database=await pool.fetchval("SELECT current_database()"))
    first, second = await connect(location), await connect(location)
    try:
        await lock(Statements(first))
        with pytest.raises(Conflict, match="another rotation"):
            await lock(Statements(second))
        await first.close()
        for _ in range(3000):
            try:
                await lock(Statements(second))
            except Conflict:
                await asyncio.sleep(0.02)
            else:
                return
        pytest.fail("the lock outlived its connection")
    finally:
        await second.close()


async def test_keys_of_the_environment_are_changed_there(
    pool: Pool, ring: Keyring, file: KeyFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = file.read().dump()
    monkeypatch.setenv(ENVIRONMENT, text)
    given = Keyring.load(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=f"come from {ENVIRONMENT}"):
        await rotate(pool, given, COLUMNS, silent)
    more = file.read().with_new()
    monkeypatch.setenv(ENVIRONMENT, more.dump())
    given = Keyring.load(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="no command can change it"):
        await retire(pool, given, COLUMNS)
    report = await rotate(pool, given, COLUMNS, silent)
    assert (report.added, report.key, report.resealed) == (False, more.active, 251)
    assert file.read().dump() == text


@pytest.mark.parametrize("change", [lambda raw: raw.pop("active"), lambda raw: raw["keys"].clear()])
def test_a_wrong_environment_is_refused_without_its_content(
    file: KeyFile, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any]
) -> None:
    raw = json.loads(file.read().dump())
    [secret] = raw["keys"].values()
    change(raw)
    monkeypatch.setenv(ENVIRONMENT, json.dumps(raw))
    with pytest.raises(ConfigError, match=ENVIRONMENT) as caught:
        Keyring.load(file.path.parent)
    assert secret not in str(caught.value)
    assert secret not in repr(Keys.parse(file.read().dump()))


async def test_the_doctor_tells_of_a_rotation_that_has_not_ended(file: KeyFile) -> None:
    [probe] = [each for each in file_probes(file.path.parent) if each.name == "key file"]
    assert (await probe.check()).status == "green"
    file.write(replace(file.read(), unfinished=True))
    finding = await probe.check()
    assert (finding.status, "secrets rotate" in finding.remedy) == ("yellow", True)
