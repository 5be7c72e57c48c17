"""The content hash that both sides of a move are compared by: blind to order and place, not to any value."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest

from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.types import DatabaseLocation
from mosaic_migrations import CORE
from mosaic_migrations.runner import migrate
from mosaic_migrations.tier import Route, Side, make_plan
from mosaic_migrations.tier.tables import Digest, digest, in_pages, read_tables

#: Types of every kind. Two schemas have them under different OIDs, as two databases do.
_TYPES = """
CREATE SCHEMA {0};
CREATE TYPE {0}.mood AS ENUM ('sad', 'happy');
CREATE TYPE {0}.pair AS (label text, mood {0}.mood);
CREATE DOMAIN {0}.percent AS numeric CHECK (VALUE BETWEEN 0 AND 100);
"""
_TABLE = """
CREATE TABLE {0}.things (
    id bigint GENERATED ALWAYS AS IDENTITY, mood {0}.mood, pair {0}.pair, percent {0}.percent,
    moods {0}.mood[], numbers integer[], document jsonb, raw json, at timestamptz, plain timestamp,
    float double precision, exact numeric, bytes bytea, note text,
    twice numeric GENERATED ALWAYS AS (exact * 2) STORED
)
"""
_ROWS = r"""
INSERT INTO {0}.things (mood, pair, percent, moods, numbers, document, raw, at, plain, float, exact, bytes, note)
VALUES ('sad', ROW('a', 'happy'), 5.0, '{{sad,NULL}}', '[0:1]={{1,2}}', '{{"a": [1.0, null]}}',
        '{{"b":1, "a":"\u0000"}}', '2024-03-31 02:30+01', '2024-03-31 02:30', '-0', 1.00, '\x00ff', E'ü\n\\N'),
       (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
       ('happy', ROW(NULL, NULL), 0, '{{}}', '{{}}', '{{}}', '1', 'infinity', '-infinity', 'NaN', 'NaN', '', '')
"""


async def opened_at(location: DatabaseLocation) -> asyncpg.Connection:
    return await asyncpg.connect(host=location.host, user=location.user, database=location.database)


async def hashed(conn: asyncpg.Connection, schema: str, where: str = "true") -> Digest:
    table = (await read_tables(conn, schema))["things"]
    return await digest(conn, schema, table, [column.name for column in table.columns], where)


@pytest.fixture
async def sides(conn: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """The same rows in the schemas one and two."""
    await conn.execute("DROP SCHEMA IF EXISTS one, two CASCADE")
    for schema in ("one", "two"):
        await conn.execute(_TYPES.format(schema) + _TABLE.format(schema) + ";" + _ROWS.format(schema))
    yield conn
    await conn.execute("DROP SCHEMA one, two CASCADE")


async def test_enums_domains_composites_and_arrays_are_hashed_by_value(sides: asyncpg.Connection) -> None:
    assert await hashed(sides, "one") == await hashed(sides, "two")
    assert (await hashed(sides, "one")).rows == 3


@pytest.mark.parametrize(
    "change",
    [
        "mood = 'happy'", "pair = ROW('a', 'sad')", "percent = 5", "moods = '{sad,sad}'", "numbers = '{1,2}'",
        """document = '{"a": [1, null]}'""", """raw = '{"b": 1, "a":"\\u0000"}'""",
        "at = at + interval '1 microsecond'", "plain = NULL", "float = 0", "exact = 1.0", r"bytes = '\x00fe'",
        "note = 'u'", "note = NULL",
    ],
)  # fmt: skip
async def test_each_change_of_a_value_or_of_its_form_is_seen(sides: asyncpg.Connection, change: str) -> None:
    await sides.execute(f"UPDATE two.things SET {change} WHERE id = 1")
    assert await hashed(sides, "one") != await hashed(sides, "two")


async def test_a_row_more_less_or_twice_is_seen(sides: asyncpg.Connection) -> None:
    before = await hashed(sides, "one")
    await sides.execute("INSERT INTO one.things (note) VALUES (NULL)")
    assert await hashed(sides, "one") != before
    await sides.execute("DELETE FROM one.things WHERE id IN (3, 4)")
    assert await hashed(sides, "one") != before


async def test_what_the_database_computes_is_not_copied_and_what_it_numbers_is(
    sides: asyncpg.Connection,
) -> None:
    names = [column.name for column in (await read_tables(sides, "one"))["things"].columns]
    assert "twice" not in names
    assert names[0] == "id"


async def test_types_of_a_database_s_own_in_arrays_and_composites_go_as_text(
    sides: asyncpg.Connection,
) -> None:
    table = (await read_tables(sides, "one"))["things"]
    assert {column.name for column in table.columns if column.only_text} == {"pair", "moods"}
    assert table.format == "text"


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns"])
async def test_a_session_of_a_move_reads_times_alike_in_every_zone(
    sides: asyncpg.Connection, location: DatabaseLocation, zone: str
) -> None:
    expected = await hashed(sides, "one")

    async def opened() -> asyncpg.Connection:
        made = await opened_at(location)
        await made.execute(f"SET TimeZone = '{zone}'; SET DateStyle = 'SQL, DMY'; SET extra_float_digits = 0")
        return made

    async with Side("source", opened, "one").session() as conn:
        assert await hashed(conn, "one") == expected


async def test_parts_by_pages_add_up_to_the_whole(sides: asyncpg.Connection) -> None:
    await sides.execute("INSERT INTO one.things (note) SELECT repeat('x', n) FROM generate_series(1, 900) n")
    table = (await read_tables(sides, "one"))["things"]
    assert table.pages > 10
    for _ in range(5):
        cuts = sorted(random.sample(range(1, table.pages), 3))
        parts = zip([0, *cuts], [*cuts, None], strict=True)
        found = [await hashed(sides, "one", in_pages(first, end)) for first, end in parts]
        assert sum(found, Digest()) == await hashed(sides, "one")


async def test_text_with_nul_cannot_be_there_to_be_moved(sides: asyncpg.Connection) -> None:
    """Postgres refuses it in text and jsonb; json keeps it escaped, and so it is copied and hashed."""
    with pytest.raises(asyncpg.CharacterNotInRepertoireError):
        await sides.execute("UPDATE one.things SET note = $1", "a\0b")
    with pytest.raises(asyncpg.UntranslatableCharacterError):
        await sides.execute("UPDATE one.things SET document = $1", '"\\u0000"')


class TestPlan:
    """What is refused before either side is changed; the target is never reached here."""

    def route(self, location: DatabaseLocation, *sets: Any) -> Route:
        return Route.between(lambda: opened_at(location), lambda: opened_at(location), sets, vector=False)

    async def test_a_source_without_a_gateway(
        self, location: DatabaseLocation, conn: asyncpg.Connection
    ) -> None:
        with pytest.raises(ConfigError, match="holds no gateway yet"):
            await make_plan(self.route(location, CORE))

    async def test_a_source_with_migrations_waiting(
        self, location: DatabaseLocation, conn: asyncpg.Connection, package: Callable[[str], Any]
    ) -> None:
        await migrate(conn, [CORE])
        more = package("later").write("0001_more.pre.sql", "CREATE TABLE more (id int)")
        with pytest.raises(ConfigError, match="older than the software: later/0001_more"):
            await make_plan(self.route(location, CORE, more.set))

    async def test_a_source_with_tables_of_a_plugin_that_is_switched_off(
        self, location: DatabaseLocation, conn: asyncpg.Connection, package: Callable[[str], Any]
    ) -> None:
        extra = package("extra").write("0001_more.pre.sql", "CREATE TABLE more (id int)")
        await migrate(conn, [CORE, extra.set])
        with pytest.raises(ConfigError, match="tables of extra, which the config does not name"):
            await make_plan(self.route(location, CORE))

    async def test_tables_that_cannot_be_copied(
        self, location: DatabaseLocation, conn: asyncpg.Connection
    ) -> None:
        await migrate(conn, [CORE])
        await conn.execute("CREATE MATERIALIZED VIEW mosaic.counted AS SELECT count(*) FROM mosaic.users")
        with pytest.raises(ConfigError, match="not copied: counted"):
            await make_plan(self.route(location, CORE))
