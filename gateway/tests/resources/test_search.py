"""Search by words: languages, prefixes, highlights, and what it costs whom."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from uuid import uuid4

import pytest

from mosaic_gateway.config.model import Language
from mosaic_gateway.resources import ResourceRows, Searching, search
from mosaic_gateway.resources.search_index import language_index
from mosaic_gateway.resources.search_query import LANGUAGES
from mosaic_hookspecs.errors import Malformed
from mosaic_hookspecs.scope import Scope
from mosaic_hookspecs.types import GrantView


def grant(user, *columns) -> GrantView:
    scope = Scope(resources=("things",), include_personal=True, fields={"things": columns})
    return GrantView(uuid4(), user.id, scope)


@pytest.fixture
def found(rows):
    """Search things, and return their titles, the best first."""

    async def found(viewer, q, /, **params: str) -> list[str]:
        answer = await rows.search(viewer, "things", {"q": q} | params)
        return [item["title"] for item in json.loads(answer.body)["items"]]

    return found


async def test_every_language_named_is_one_of_postgres(pool):
    known = {row["cfgname"] for row in await pool.fetch("SELECT cfgname FROM pg_ts_config")}
    assert set(LANGUAGES) <= known


async def test_the_language_decides_which_forms_of_a_word_are_one(found, add, ada):
    await add(ada, title="Die Katzen der Nachbarn")
    assert await found(ada, "Katze") == []
    assert await found(ada, "Katze", lang="german") == ["Die Katzen der Nachbarn"]
    assert await found(ada, "die", lang="german") == []  # a stop word
    assert await found(ada, "die", lang="simple") == ["Die Katzen der Nachbarn"]


async def test_a_gateway_has_a_language(rows, pool, add, ada):
    german = ResourceRows(pool, [rows.resource("things")], lambda: [b"k"], None, Searching("german"))
    await add(ada, title="Die Katzen der Nachbarn")
    assert (await german.search(ada, "things", {"q": "Katze"})).rows == 1
    assert (await german.search(ada, "things", {"q": "Katze", "lang": "english"})).rows == 0


@pytest.mark.parametrize(("q", "expected"), [
    ("app*", ["apple", "application"]), ("appl* -application", ["apple"]), ("-app*", ["pear", "the theatre"]),
    ("app* or pears", ["apple", "application", "pear"]), ("applications*", ["application"]),
    ("the*", ["the theatre"]), ('"the thea*"', ["the theatre"]), ("app* " * 60, ["apple", "application"]),
    ("*", []), ("**", []), ("app*le", []), ("a-p*", []), ("ĝ*", []), ("²*", []),
])  # fmt: skip
async def test_a_star_stands_for_the_rest_of_a_word(found, add, ada, q, expected):
    for title in ("apple", "application", "pear", "the theatre"):
        await add(ada, title=title)
    assert sorted(await found(ada, q)) == expected


async def test_highlights_show_where_the_words_are_and_nothing_else(rows, add, ada):
    await add(
        ada, title="a \x02plum\x03 <b>", body=f"Long ago {'there was ' * 40} one plum in the plums' garden."
    )
    answer = await rows.search(ada, "things", {"q": "plum", "highlight": "true"})
    [item] = json.loads(answer.body)["items"]
    assert set(item["highlights"]) == {"title", "body"}
    assert item["highlights"]["title"] == "a \x02plum\x03 <b>"  # what was in the text is not taken for a mark
    assert re.findall("\x02(.*?)\x03", item["highlights"]["body"]) == ["plum", "plums"]
    assert len(item["highlights"]["body"]) < 400
    narrow = await rows.search(grant(ada, "title"), "things", {"q": "plum", "highlight": "true"})
    [item] = json.loads(narrow.body)["items"]
    assert set(item["highlights"]) == {"title"}
    plain = await rows.search(ada, "things", {"q": "plum", "highlight": "false"})
    assert "highlights" not in json.loads(plain.body)["items"][0]


async def test_equal_ranks_stay_in_order_and_are_cut_at_the_limit(found, add, ada):
    for number in range(9):
        await add(ada, title=f"plum {number}")
    newest_first = [f"plum {number}" for number in reversed(range(9))]
    assert await found(ada, "plum") == newest_first
    assert await found(ada, "plum", limit="4") == newest_first[:4]


@pytest.mark.parametrize(("params", "where"), [
    ({"mode": "vector"}, "mode"), ({"mode": "hybrid"}, "mode"), ({"mode": ""}, "mode"), ({"mode": "x\0"}, "mode"),
    ({"lang": "klingon"}, "lang"), ({"lang": "english'"}, "lang"), ({"highlight": "1"}, "highlight"),
    ({"language": "german"}, "language"), ({"sort": "id"}, "sort"),
])  # fmt: skip
async def test_a_wrong_parameter_is_named(rows, ada, params, where):
    with pytest.raises(Malformed) as caught:
        await rows.search(ada, "things", {"q": "plum"} | params)
    assert [fault.where for fault in caught.value.faults] == [where]


class Listening:
    """A database that tells which statements it was asked."""

    def __init__(self, pool) -> None:
        self.pool, self.asked = pool, []

    async def fetch(self, query, *args):
        self.asked.append((query, args))
        return await self.pool.fetch(query, *args)

    async def plan(self) -> str:
        """That of the last statement, run once more."""
        query, args = self.asked[-1]
        async with self.pool.transaction() as queries:
            await queries.execute("SET LOCAL enable_seqscan = off")
            plan = await queries.fetch(f"EXPLAIN (ANALYZE, TIMING off) {query}", *args)
        return "\n".join(row[0] for row in plan)


async def many_matches(pool, *owners) -> None:
    """A thousand rows that match of the first of these, and one of each other."""
    for user, count in zip(owners, [1000, *[1] * len(owners)], strict=False):
        await pool.execute(
            "INSERT INTO things (owner_id, title, body, kind, tags, extra)"
            " SELECT $1, 'plum ' || n, '', 'a', '{}', '{}' FROM generate_series(1, $2::int) n",
            user.id,
            count,
        )
    await pool.execute("VACUUM ANALYZE things")  # what waits beside a GIN index goes in


@pytest.mark.parametrize("language", ["english", "german"])
async def test_an_index_finds_the_rows_of_the_viewer_among_all_matches(
    rows, pool, ada, bob, language: Language
):
    """So a search costs by what one may see: it reads none of bob's thousand rows, though each would match."""
    if language != "english":
        await pool.execute(language_index(rows.resource("things"), language))
    await many_matches(pool, bob, ada)
    heard = Listening(pool)
    listening = ResourceRows(heard, [rows.resource("things")], lambda: [b"k"])
    assert (await listening.search(ada, "things", {"q": "plum", "lang": language})).rows == 1
    index, plan = "things_search_idx" if language == "english" else "things_german_idx", await heard.plan()
    assert re.search(rf"Bitmap Index Scan on {index} .*actual rows=1 ", plan), plan


async def test_a_peers_search_reads_no_match_of_others_either(rows, pool, peers, record, ada, bob):
    """Behind row-level security too the index is asked whose the rows are, and not the policy for each match."""
    view = grant(ada, "title", "body")
    await record(view)
    await many_matches(pool, bob, ada)
    heard = Listening(peers)
    listening = ResourceRows(pool, [rows.resource("things")], lambda: [b"k"], heard)
    assert (await listening.search(view, "things", {"q": "plum"})).rows == 1
    plan = await heard.plan()
    assert re.search(r"Bitmap Index Scan on things_search_idx .*actual rows=1 ", plan), plan


async def test_an_index_from_before_is_made_anew_under_its_name(pool):
    was = "CREATE INDEX {} ON things USING gin ((ARRAY[coalesce(team_id, owner_id)]), {})"
    await pool.execute("DROP INDEX things_search_idx")
    await pool.execute(was.format("things_search_idx", "search_vector"))
    await pool.execute(was.format("things_german_idx", "(to_tsvector('german', title))"))
    await pool.execute((files("mosaic_migrations.core") / "0013_search_places.pre.sql").read_text())
    made = await pool.fetch(
        "SELECT indexdef FROM pg_indexes WHERE indexdef ~ 'USING gin .*owner_id' AND tablename = 'things' ORDER BY 1"
    )
    place = "ARRAY[ CASE WHEN (team_id IS NULL) THEN owner_id ELSE team_id END]"
    on = "ON mosaic.things USING gin"
    assert [" ".join(row[0].split()) for row in made] == [
        f"CREATE INDEX things_german_idx {on} (({place}), to_tsvector('german'::regconfig, title))",
        f"CREATE INDEX things_search_idx {on} (({place}), search_vector)",
    ]


async def test_highlights_look_through_the_beginning_of_a_text_alone(rows, add, ada):
    """To look through long ones for many prefixes takes seconds a page."""
    await add(ada, title="far", body=f"{'x ' * 3000}plum")
    answer = await rows.search(ada, "things", {"q": "plum", "highlight": "true"})
    [item] = json.loads(answer.body)["items"]
    assert "\x02" not in item["highlights"]["body"]


async def test_a_peer_searches_many_rows_only_in_a_language_that_has_an_index(
    both, record, pool, add, ada, monkeypatch
):
    monkeypatch.setattr(search, "_READ", 2)
    view, narrow = grant(ada, "title", "body"), grant(ada, "title")
    await record(view, narrow)
    german = {"q": "Katze", "lang": "german"}
    for _ in range(2):
        await add(ada, title="Katzen")
    assert (await both.search(view, "things", german)).rows == 2  # few: they are read
    await add(ada, title="Katzen")
    with pytest.raises(Malformed) as caught:
        await both.search(view, "things", german)
    assert [str(fault) for fault in caught.value.faults] == [
        "lang: no index of things has the words in german; expected one of english"
    ]
    assert (await both.search(ada, "things", german)).rows == 3  # the gateway's own users wait if they like
    assert (await both.search(narrow, "things", german)).rows == 3  # no index would serve it in any language
    assert (await both.search(view, "things", {"q": "katzen"})).rows == 3
    await pool.execute(language_index(both.resource("things"), "german"))
    assert (await both.search(view, "things", german)).rows == 3
    with pytest.raises(Malformed, match="lang") as caught:
        await both.search(view, "things", german | {"lang": "french"})
    assert caught.value.faults[0].message.endswith("english, german")
