"""Search by words: languages, prefixes, highlights, and what it costs whom."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from uuid import UUID, uuid4

import asyncpg
import pytest
from pydantic import create_model

from mosaic_gateway.config.model import Language
from mosaic_gateway.resources import ResourceRows, Searching, prepare_search, search
from mosaic_gateway.resources.search_index import language_index
from mosaic_gateway.resources.search_query import LANGUAGES
from mosaic_hookspecs.errors import Malformed
from mosaic_hookspecs.scope import Scope
from mosaic_hookspecs.types import GrantView, Resource, User


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


@pytest.mark.parametrize("q", ["-plum", "plum", '"plum pie"', "pl*", "plum or pear"])
async def test_a_search_reads_of_the_index_no_match_of_others(rows, pool, ada, bob, q):
    """Not even of those whose rows are many: what is looked up is the word as the viewer's places have it."""
    await pool.execute(
        "INSERT INTO things (owner_id, title, body, kind, tags, extra)"
        " SELECT $1, CASE WHEN n = 0 THEN 'plum pie' ELSE 'cherry cake' END, '', 'a', '{}', '{}'"
        " FROM generate_series(0, 999) n",
        ada.id,
    )
    await many_matches(pool, bob)
    heard = Listening(pool)
    listening = ResourceRows(heard, [rows.resource("things")], lambda: [b"k"])
    found = (await listening.search(ada, "things", {"q": q, "limit": "200"})).rows
    plan = await heard.plan()
    read = re.search(r"Bitmap Index Scan on things_search_idx .*actual rows=(\d+) ", plan)
    assert (found, read and int(read[1])) == ((200, 999) if q == "-plum" else (1, 1)), plan


async def test_a_row_without_a_word_is_found_by_what_it_does_not_say(found, add, ada):
    await add(ada, title="the")
    await add(ada, title="plum")
    assert await found(ada, "-plum") == ["the"]
    assert await found(ada, "-plum -pear or plum") == ["plum", "the"]


async def test_places_whose_words_have_one_tag_are_not_mixed_up(pool, found, add):
    """The tag of a place is a short piece of its id: these two have the same."""
    users = [User(UUID(f"{n}0000000-0000-4000-8000-0000000000aa"), f"u{n}") for n in (1, 2)]
    for user in users:
        await pool.execute("INSERT INTO users (id, username) VALUES ($1, $2)", user.id, user.username)
        await add(user, title=f"plum of {user.username}")
    for user in users:
        assert await found(user, "plum") == [f"plum of {user.username}"]


async def test_a_row_that_goes_to_a_team_is_found_there(pool, found, add, ada, bob, core):
    thing = await add(ada, title="plum")
    assert (await found(ada, "plum"), await found(bob, "plum")) == (["plum"], [])
    await pool.execute("UPDATE things SET team_id = $1 WHERE id = $2", core.id, thing["id"])
    assert (await found(ada, "plum"), await found(bob, "plum")) == (["plum"], ["plum"])


@pytest.mark.parametrize("words", [
    r"it's a \\ b''c http://example.com/a!'b/c?d='e f@example.com 1.5 -3 a/b/c", "naïve Straße 李白 ΑΒΓ", "", "the",
])  # fmt: skip
async def test_words_of_a_place_are_the_words_with_its_tag(pool, words):
    place = uuid4()
    plain, tagged = await pool.fetchrow(
        "SELECT tsvector_to_array(v), tsvector_to_array(words_of_place(v, $2)) FROM to_tsvector($1) v",
        words,
        place,
    )
    [tag] = {word[:4] for word in tagged}
    assert set(tagged) == {tag, *(tag + word for word in plain)}
    found = (
        "SELECT v @@ query_of_place(q, $2), v @@ query_of_place(!!q, $2)"
        " FROM words_of_place(to_tsvector($1), $2) v, CAST(array_to_tsvector(ARRAY[$3])::text AS tsquery) q"
    )
    for word in plain:
        assert tuple(await pool.fetchrow(found, words, place, word)) == (True, False)


async def test_words_too_long_for_a_tag_are_left_out_and_nothing_else(rows, found, add, ada):
    """A word may have 2,046 bytes. Nobody asks for one as long, and its row is kept and found all the same."""
    await add(ada, title="plum", body=f"{'x' * 2046} {'y' * 2042} pear")
    assert await found(ada, '"pear"') == await found(ada, "y*") == ["plum"]


async def test_a_text_of_as_many_words_as_ever_fitted_is_kept(found, add, ada):
    """Then places of words in the text may be lost, and no word."""
    letters = [chr(0x10400 + n) for n in range(40)]  # of four bytes, and with small letters
    words = " ".join(a + b for a in letters for b in letters)
    many = " ".join(f"{a}{word}" for a in letters[:25] for word in words.split()[:1500])
    await add(ada, title="plum", body=many[:100_000])
    assert await found(ada, many[:3]) == ["plum"]


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


async def test_where_walls_come_first_a_peers_search_reads_the_rows_of_its_grant_alone(
    pool, peers, record, resources, ada, bob
):
    view = grant(ada, "title", "body")
    await record(view)
    await many_matches(pool, bob, ada)
    await pool.execute("ALTER FUNCTION pg_catalog.ts_match_vq(tsvector, tsquery) NOT LEAKPROOF")
    searching = await prepare_search(pool, resources, None, "english")
    heard = Listening(peers)
    listening = ResourceRows(pool, [resources[0]], lambda: [b"k"], heard, searching)
    assert (await listening.search(view, "things", {"q": "plum"})).rows == 1
    plan = await heard.plan()
    assert re.search(r"Bitmap Index Scan on things_personal_idx .*actual rows=1 ", plan), plan
    assert "things_search_idx" not in plan


async def test_words_from_before_are_given_their_places(pool, ada):
    await pool.execute("CREATE TABLE old (title text); SELECT make_resource_table('old', '{title}')")
    await pool.execute("INSERT INTO old (owner_id, title) VALUES ($1, 'plum')", ada.id)
    await pool.execute("SELECT make_words_of_places('old')")
    query = "SELECT search_vector @@ query_of_place('plum', $1) FROM old"
    assert await pool.fetchval(query, ada.id)
    assert not await pool.fetchval(query, uuid4())
    assert "search_vector" in await pool.fetchval("SELECT pg_get_indexdef('old_search_idx'::regclass)")


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


async def test_a_resource_may_have_any_name_that_the_statement_uses(pool, ada):
    """Of a table that a part of the statement hides nothing would be found."""
    names = ["q", "teams_", "places", "r", "f", "found", "tasks_teams"]
    for name in names:
        await pool.execute(
            f"CREATE TABLE {name} (title text NOT NULL); SELECT make_resource('{name}', '{{title}}')"
        )
        await pool.execute(f"INSERT INTO {name} (owner_id, title) VALUES ($1, 'a green tree')", ada.id)
    resources = [Resource(name, create_model(name, title=str), "any", ("title",)) for name in names]
    rows = ResourceRows(pool, resources, lambda: [b"k" * 32])
    for name in names:
        for language in ("english", "german"):
            answer = json.loads((await rows.search(ada, name, {"q": "green", "lang": language})).body)
            assert [item["title"] for item in answer["items"]] == ["a green tree"], name


async def test_the_fullest_row_that_could_be_kept_still_can(pool):
    """Of as many words as there is room for, to the byte, one goes for the tag."""
    text = "SELECT string_agg(lpad(n::text, 8, '0'), ' ') FROM generate_series(1, $1::int) n"
    fullest = f"to_tsvector('simple', ({text}))"
    with pytest.raises(asyncpg.ProgramLimitExceededError):
        await pool.fetchval(f"SELECT {fullest}", 87_382)
    words = f"words_of_place({fullest}, gen_random_uuid())"
    assert await pool.fetchval(f"SELECT cardinality(tsvector_to_array({words}))", 87_381) == 87_381
