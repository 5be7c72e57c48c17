"""What somebody puts into a shared table harms nobody else: no list, no search, no log."""

from __future__ import annotations

import json

import pytest

from mosaic_hookspecs.errors import ConfigError, Malformed, Unavailable


def _words(first: int) -> str:
    """100,000 characters of the kind that takes the most room: pairs with a hyphen, of four bytes each."""
    return " ".join(f"{chr(0x20000 + first)}-{chr(0x20000 + number)}" for number in range(25_000))


async def test_a_row_with_too_many_words_fails_nobodys_search(share, grant, lead, client, pool, orders):
    await pool.execute("ALTER TABLE sales.orders ADD more text, ADD most text")
    await pool.execute(
        "INSERT INTO sales.orders (order_no, account, title, notes, more, most)"
        " VALUES ('B-2', 'client', 'Chairs with long words', $1, $2, $3)",
        *map(_words, range(3)),
    )
    texts = ["title", "notes", "more", "most"]
    rows = await share(orders=orders(columns=texts, search=texts))
    narrow = await grant(fields={"orders": ("title", "notes", "more")})
    for viewer, found in ((lead, 1), (client, 2), (await grant(), 1), (narrow, 1)):
        for more in ({}, {"lang": "german"}):
            assert (await rows.search(viewer, "orders", {"q": "chairs", **more})).rows == found


async def test_a_date_behind_the_end_of_times_fails_nobodys_list(
    share, grant, lead, client, pool, orders, keys
):
    await pool.execute("ALTER TABLE sales.orders ADD day date DEFAULT '2026-01-01'")
    await pool.execute(
        "INSERT INTO sales.orders (order_no, account, title, day) VALUES ('B-2', 'client', 'x', '5874897-12-31'),"
        " ('B-3', 'client', 'x', 'infinity'), ('B-4', 'client', 'x', NULL)"
    )
    rows = await share(orders=orders(created_at="day"))
    since = {"created_at.gt": "2019-01-01T00:00:00Z"}
    assert sorted(await keys(rows, lead, **since)) == ["A-1", "A-2", "A-3"]
    assert sorted(await keys(rows, await grant(), **since)) == ["A-1", "A-2"]
    assert sorted(await keys(rows, client, **since)) == ["B-1", "B-2", "B-3"]
    assert sorted(await keys(rows, client)) == ["B-1", "B-2", "B-3", "B-4"]


async def test_a_value_that_a_view_trips_over_is_in_no_error_and_no_log(
    share, grant, lead, pool, orders, caplog
):
    await pool.execute(
        "CREATE VIEW sales.cards AS SELECT order_no, account, title, card_number::int AS card FROM sales.orders"
    )
    cards = {"table": "sales.cards", "team": None, "columns": ["title", "card"], "search": ["title"]}
    rows = await share(orders=orders(**cards, created_at=None))
    for viewer in (lead, await grant()):
        with pytest.raises(Unavailable) as refusal:
            await rows.list(viewer, "orders", {})
        assert refusal.value.__cause__ is None
        assert "4111" not in str(refusal.value)
    assert "InvalidTextRepresentationError (22P02)" in caplog.text
    assert "4111" not in caplog.text


@pytest.mark.parametrize("key", ["owner", "team"])
async def test_a_column_that_takes_two_names_for_one_says_nobodys(share, pool, orders, key):
    """As ICU can: this Postgres has none, so that a collation is only called so."""
    await pool.execute('CREATE COLLATION sales.loose FROM "C"')
    await pool.execute("UPDATE pg_collation SET collisdeterministic = false WHERE collname = 'loose'")
    column = orders()[key]
    await pool.execute(f"ALTER TABLE sales.orders ALTER {column} TYPE text COLLATE sales.loose")
    with pytest.raises(ConfigError) as refusal:
        await share()
    [fault] = refusal.value.faults
    assert fault.where == f"plugins.tables.resources.orders.{key}"
    assert "takes different names for one" in fault.message


@pytest.mark.parametrize("number", ["1e500000", "-1e131072", "1e-20000", "0e999999"])
async def test_a_number_that_no_column_holds_is_the_askers_mistake(share, lead, number):
    rows = await share()
    for more in ("", ".gt", ".in"):
        with pytest.raises(Malformed, match="the number is too long"):
            await rows.list(lead, "orders", {f"amount{more}": number})
    assert (await rows.list(lead, "orders", {"amount.lt": "1e131071"})).rows == 3


async def test_a_version_tells_nothing_of_columns_that_a_grant_withholds(share, grant, lead, pool, id_of):
    """It is made of them, and whoever has it could try out what is in them."""
    rows = await share()
    whole = json.loads((await rows.get(lead, "orders", id_of("A-2"))).body)
    shown = ("owner_id", "team_id", "created_at", "updated_at", "title", "notes", "paid", "version")
    narrow = json.loads((await rows.get(await grant(fields={"orders": shown}), "orders", id_of("A-2"))).body)
    tried = await pool.fetchval(
        "SELECT amount::text FROM generate_series(0, 100, 0.01) amount WHERE 1 + (hash_record_extended(ROW("
        "$1::uuid, NULL::uuid, timestamptz '2026-01-02T10:00:00Z', NULL::timestamptz, 'A lamp'::text, NULL::text,"
        " amount, false), 0) & 4503599627370495) = $2",
        lead.id,
        whole["version"],
    )
    assert tried == "19.99"
    assert "amount" not in narrow
    assert "version" not in narrow


@pytest.mark.parametrize("name", ["n", "bytes", "words"])
async def test_no_field_is_called_like_a_part_of_our_statements(share, grant, lead, orders, name):
    rows = await share(orders=orders(columns={name: "title"}, search=[name]))
    narrow = await grant(fields={"orders": (name,)})
    for viewer in (lead, narrow):
        assert (await rows.list(viewer, "orders", {"sort": "id"})).rows == len(
            [line async for line in rows.export(viewer, "orders")]
        )
        for lang in ("english", "german"):
            assert (await rows.search(viewer, "orders", {"q": "chairs", "lang": lang})).rows == 1
