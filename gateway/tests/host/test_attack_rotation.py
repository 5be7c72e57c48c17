"""Columns that a plugin declares carelessly, and rows that somebody planted: a rotation ends, and loses nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mosaic_gateway.database import Pool
from mosaic_gateway.sealing import KeyFile, Keyring, count, create_keys, retire, rotate
from mosaic_hookspecs.errors import ConfigError, Conflict
from mosaic_hookspecs.types import SealedColumn

LOOSE = SealedColumn("loose", "sealed", "name", "loose/{name}/secret")


def silent(_column: str, _done: int) -> None:
    return


@pytest.fixture
async def ring(pool: Pool, tmp_path: Path) -> Keyring:
    """A keyring, and a table whose rows neither must have a name nor one of their own."""
    create_keys(tmp_path / "keys.json")
    await pool.execute("CREATE TABLE loose (name text, sealed bytea)")
    return Keyring.read(tmp_path / "keys.json")


async def seal(pool: Pool, ring: Keyring, name: str | None) -> None:
    sealed = ring.seal(b"x", place=LOOSE.place_of(name))
    await pool.execute("INSERT INTO loose VALUES ($1, $2)", name, sealed)


async def refuses_to_retire(pool: Pool, ring: Keyring) -> None:
    assert ring.file
    keys = ring.file.read()
    KeyFile(ring.file.path).write(
        replace(keys, made={k: datetime(2026, 1, 1, tzinfo=UTC) for k in keys.keys})
    )
    with pytest.raises(Conflict, match="still in use"):
        await retire(pool, ring, [LOOSE])


async def test_a_row_without_a_key_does_not_keep_it_going_for_ever(pool: Pool, ring: Keyring) -> None:
    await seal(pool, ring, "a")
    await seal(pool, ring, None)
    async with asyncio.timeout(60):
        report = await rotate(pool, ring, [LOOSE], silent)
    assert report.resealed == 1
    await refuses_to_retire(pool, ring)


async def test_rows_of_one_name_are_not_lost(pool: Pool, ring: Keyring) -> None:
    for _ in range(250):
        await seal(pool, ring, "a")
    async with asyncio.timeout(60):
        await rotate(pool, ring, [LOOSE], silent)
    if any(each.key != ring.keys.active for each in await count(pool, [LOOSE])):
        await refuses_to_retire(pool, ring)
    for row in await pool.fetch("SELECT sealed FROM loose"):
        assert ring.open(row["sealed"], place="loose/a/secret") == b"x"


@pytest.mark.parametrize(
    "planted",
    [
        b"",
        b"mosaic1",
        b"mosaic1\x00",
        b"mosaic1\xff",
        b"mosaic1\x02\xff\xfe" + b"\0" * 40,
        b"mosaic1\x05\x1b[2Jm",
    ],
)
async def test_a_planted_value_is_named_and_left(pool: Pool, ring: Keyring, planted: bytes) -> None:
    await seal(pool, ring, "a")
    await pool.execute("INSERT INTO loose VALUES ('p', $1)", planted)
    async with asyncio.timeout(60):
        report = await rotate(pool, ring, [LOOSE], silent)
    assert (report.resealed, [fault.where for fault in report.faults]) == (1, ["loose/p/secret"])
    assert await pool.fetchval("SELECT sealed FROM loose WHERE name = 'p'") == planted
    with pytest.raises(ConfigError):
        ring.open(planted, place="loose/p/secret")


@pytest.mark.parametrize("name", ['a"; DROP TABLE loose; --', "A", "a b", "", "a" * 64, "a\0", "ä"])
def test_a_name_that_is_no_identifier_is_refused(name: str) -> None:
    for wrong in ({"table": name}, {"column": name}, {"key": name, "place": f"x/{{{name}}}"}):
        with pytest.raises(ConfigError):
            replace(LOOSE, **wrong)
