"""Search by meaning and by both, with an embedder whose vectors are plain to see: one dimension for each topic."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosaic_gateway.database import connect, open_pool
from mosaic_gateway.resources import ResourceRows, index_job, prepare_search, search, search_index
from mosaic_gateway.resources.search_index import embed_waiting, standing, want_anew
from mosaic_hookspecs.errors import ConfigError, Malformed, NotFound, Unavailable
from mosaic_hookspecs.scope import Scope
from mosaic_hookspecs.types import GrantView, User
from mosaic_migrations import CORE
from mosaic_migrations.runner import migrate

TOPICS = (("plum", "fruit"), ("invoice", "bill"), ("train", "railway"))
MODES = ("text", "vector", "hybrid")


class Topics:
    """Texts about one topic have one direction, whichever of its words they use."""

    name, model, dimensions, similarity = "topics", "topics/1", 4, 0.3

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.trouble: Exception | None = None

    async def embed(self, texts, *, kind):
        if self.trouble:
            raise self.trouble
        self.texts += texts
        return [[*(float(any(w in text for w in words)) for words in TOPICS), 0.01] for text in texts]


@pytest.fixture(scope="module")
def location(postgres, tables):
    """A database with vectors; each test has users of its own, and sees only theirs."""

    async def make():
        location = replace(postgres, database=f"vectors_{uuid4().hex}")
        server = await connect(postgres)
        await server.execute(f"CREATE DATABASE {location.database}")
        await server.close()
        connection = await connect(location)
        await migrate(connection, [CORE], vector=True)
        await connection.execute(tables + "SELECT make_vectors('things', 4)")
        await connection.close()
        return location

    return asyncio.run(make())


@pytest.fixture
async def pool(location):
    async with open_pool(location) as pool:
        yield pool


@pytest.fixture
def embedder():
    return Topics()


@pytest.fixture
async def searching(pool, resources, embedder):
    return await prepare_search(pool, resources, embedder, "english")


@pytest.fixture
def rows(pool, resources, searching):
    return ResourceRows(pool, resources, lambda: [b"k" * 32], pool, searching)


@pytest.fixture
async def new_user(identities):
    async def new_user() -> User:
        name = f"u{uuid4().hex}"
        await identities.add_user(name)
        return await identities.user(name)

    return new_user


@pytest.fixture
async def ada(new_user):
    return await new_user()


@pytest.fixture
def index(pool, searching, resources):
    """Do what the background does."""
    return lambda: embed_waiting(pool, searching, resources[0])


@pytest.fixture
def found(rows):
    async def found(viewer, q, /, **params: str) -> list[str]:
        answer = await rows.search(viewer, "things", {"q": q} | params)
        return [item["title"] for item in json.loads(answer.body)["items"]]

    return found


def grant(user, *columns, **more) -> GrantView:
    fields = {"things": columns} if columns else {}
    return GrantView(
        uuid4(),
        user.id,
        Scope(**{"resources": ("things",), "include_personal": True, "fields": fields} | more),
    )


async def test_a_row_is_found_by_what_it_means(found, add, index, ada):
    for title in ("plum cake", "train to Oslo", "nothing in common"):
        await add(ada, title=title)
    assert await found(ada, "fruit", mode="vector") == []  # not embedded yet
    await index()
    assert await found(ada, "fruit", mode="text") == []
    assert await found(ada, "fruit", mode="vector") == ["plum cake"]
    assert await found(ada, "fruit") == ["plum cake"]


async def test_both_ways_together_put_first_what_both_find(found, add, index, ada):
    for title in ("railway", "a bill of fare", "fruit", "plum", "the fruit of the plum"):
        await add(ada, title=title)
    await index()
    by_both = await found(ada, "plum", mode="hybrid")
    assert set(by_both[:2]) == {"plum", "the fruit of the plum"}
    assert by_both[2:] == ["fruit"]
    assert await found(ada, "plum", mode="hybrid", limit="1") == by_both[:1]
    assert await found(ada, "plum") == by_both


@pytest.mark.parametrize("q", ['"fruit"', "fruit -plum", "fruit or pear", "fruit*"])
async def test_who_says_exactly_what_is_wanted_gets_no_more(found, add, index, ada, q):
    await add(ada, title="plum")
    await add(ada, title="fruit")
    await index()
    assert await found(ada, q) == ["fruit"]
    assert set(await found(ada, q, mode="hybrid")) == {"fruit", "plum"}


async def test_a_changed_row_is_found_by_its_new_text_and_never_again_by_its_old(
    rows, found, add, index, ada, embedder
):
    thing = await add(ada, title="plum")
    await index()
    await rows.update(ada, "things", thing["id"], b'{"title": "train"}', if_match=None)
    assert await found(ada, "fruit", mode="vector") == []
    await index()
    assert await found(ada, "railway", mode="vector") == ["train"]
    embedder.texts.clear()
    await rows.update(ada, "things", thing["id"], b'{"size": 3}', if_match=None)
    await index()
    assert embedder.texts == []  # the text is the same
    await rows.delete(ada, "things", thing["id"], if_match=None)
    assert await found(ada, "railway", mode="vector") == []


async def test_a_row_that_changes_while_it_is_embedded_waits_again(
    rows, add, pool, searching, resources, ada
):
    thing = await add(ada, title="plum")

    class Slow(Topics):
        async def embed(self, texts, *, kind):
            if not self.texts:
                await rows.update(ada, "things", thing["id"], b'{"title": "train"}', if_match=None)
            return await super().embed(texts, kind=kind)

    slow = Slow()
    await embed_waiting(pool, replace(searching, embedder=slow), resources[0])
    assert (
        await pool.fetchval("SELECT embedding::text FROM things_vectors WHERE id = $1", thing["id"]) is None
    )
    await embed_waiting(pool, replace(searching, embedder=slow), resources[0])
    assert (
        await pool.fetchval("SELECT embedding::text FROM things_vectors WHERE id = $1", thing["id"])
        == "[0,0,1,0.01]"
    )


async def test_rows_that_never_stand_still_hold_up_no_others(
    rows, add, pool, searching, resources, ada, monkeypatch
):
    monkeypatch.setattr(search_index, "_BATCH", 1)
    things = {(await add(ada, title=f"restless {number}"))["id"] for number in range(3)}
    first = min(things)

    class Restless(Topics):
        async def embed(self, texts, *, kind):
            await rows.update(ada, "things", first, b'{"title": "restless still"}', if_match=None)
            return await super().embed(texts, kind=kind)

    await embed_waiting(pool, replace(searching, embedder=Restless()), resources[0])
    waiting = await pool.fetch("SELECT id::text FROM things_vectors WHERE embedding IS NULL")
    assert {row["id"] for row in waiting} & things == {first}


@pytest.mark.parametrize("vector", [None, [float("nan")] * 4, [1.0]])
async def test_a_text_that_the_embedder_cannot_take_holds_up_no_others(
    add, pool, searching, resources, ada, caplog, vector
):
    for number in range(3):
        await add(ada, title=f"plum {number}")
    bad = await add(ada, title="poison, and a secret")

    class Choking(Topics):
        async def embed(self, texts, *, kind):
            given = await super().embed(texts, kind=kind)
            if vector is None and any("poison" in text for text in texts):
                raise ValueError(texts)
            return [vector if "poison" in text else one for text, one in zip(texts, given, strict=True)]

    choking = replace(searching, embedder=Choking())
    await index_job(pool, choking, resources).run({})
    waiting = await pool.fetch("SELECT id::text FROM things_vectors WHERE embedding IS NULL")
    assert [row["id"] for row in waiting] == [bad["id"]]
    assert ("cannot be embedded" in caplog.text, "secret" in caplog.text) == (True, False)
    await pool.execute("DELETE FROM things WHERE id = $1", bad["id"])


async def test_the_background_goes_on_where_it_was_interrupted(
    add, pool, searching, resources, embedder, ada, caplog
):
    for number in range(40):  # more than a batch
        await add(ada, title=f"plum {number}")
    job = index_job(pool, searching, resources)
    embedder.trouble = Unavailable("the model is not there")
    await job.run({})
    assert "the model is not there" in caplog.text
    assert (await standing(pool, searching))[0].waiting >= 40
    embedder.trouble = None
    await job.run({})
    [now] = await standing(pool, searching)
    assert (now.resource, now.model, now.waiting) == ("things", "topics/1", 0)


async def test_another_model_begins_anew_and_other_dimensions_are_refused(
    pool, resources, add, index, found, ada, searching
):
    await add(ada, title="plum")
    await index()

    class Later(Topics):
        model = "topics/2"

    class Wider(Topics):
        dimensions = 512

    with pytest.raises(ConfigError, match=r"have 4 dimensions, .* have 512") as refused:
        await prepare_search(pool, resources, Wider(), "english")
    assert "4 dimensions" in refused.value.remedy
    assert (await standing(pool, searching))[0].waiting == 0
    await prepare_search(pool, resources, Later(), "english")
    [now] = await standing(pool, searching)
    assert (now.model, now.waiting) == ("topics/2", now.rows)
    await prepare_search(pool, resources, Topics(), "english")


async def test_all_can_be_embedded_anew(pool, searching, add, index, ada):
    await add(ada, title="plum")
    await index()
    await want_anew(pool, searching, "things")
    [now] = await standing(pool, searching)
    assert now.waiting == now.rows > 0
    with pytest.raises(NotFound, match="no vectors of plain"):
        await want_anew(pool, searching, "plain")


async def test_a_scope_that_withholds_a_text_searches_no_vectors(rows, found, add, index, ada):
    """The vector of a row is made from all of its text: near a guess, it would tell what the hidden part says."""
    await add(ada, title="untitled", body="invoice of March")
    await index()
    whole, narrow = grant(ada), grant(ada, "title", "created_at")
    assert await found(whole, "bill") == ["untitled"]
    assert await found(narrow, "bill") == await found(narrow, "invoice") == []
    for mode in ("vector", "hybrid"):
        with pytest.raises(Malformed) as caught:
            await rows.search(narrow, "things", {"q": "bill", "mode": mode})
        assert caught.value.faults[0].message == "expected one of text"
    assert await found(grant(ada, "title", "body"), "bill") == ["untitled"]


async def test_peers_search_by_meaning_behind_both_walls(
    pool, peers, record, resources, searching, add, index, ada
):
    await add(ada, title="plum")
    secret = await add(ada, title="fruit salad")
    await index()
    view = grant(ada, excluded_resources=(f"things/{secret['id']}",))
    await record(view)
    both = ResourceRows(pool, resources, lambda: [b"k" * 32], peers, searching)
    for mode in ("vector", "hybrid"):
        for highlight in ("true", "false"):
            params = {"q": "fruit", "mode": mode, "highlight": highlight}
            answer = await both.search(view, "things", params)
            assert [item["title"] for item in json.loads(answer.body)["items"]] == ["plum"]
    revoked = grant(ada)  # the first wall would let it through; the second has no such grant
    assert (await both.search(revoked, "things", {"q": "fruit", "mode": "hybrid"})).rows == 0


async def test_few_rows_among_many_are_found_and_many_by_the_index(
    pool, rows, found, index, new_user, monkeypatch
):
    few, many = await new_user(), await new_user()
    insert = (
        "INSERT INTO things (owner_id, title, body, kind, tags, extra)"
        " SELECT $1, 'plum ' || n, '', 'a', '{}', '{}' FROM generate_series(1, $2) n"
    )
    await pool.execute(insert, many.id, 5300)
    await pool.execute(insert, few.id, 3)
    await pool.execute("UPDATE things_vectors SET embedding = '[1,0,0,0.01]' WHERE embedding IS NULL")
    await pool.execute("ANALYZE things; ANALYZE things_vectors; ANALYZE memberships")
    assert len(await found(few, "fruit", mode="vector")) == 3
    assert len(await found(many, "fruit", mode="vector")) == 50

    scans = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'things_vectors_hnsw_idx'"
    async with pool.transaction() as queries:  # as after many executions, where a prepared plan is kept
        await queries.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        within = ResourceRows(queries, [rows.resource("things")], lambda: [b"k"], None, rows._searching)
        await within.search(many, "things", {"q": "fruit", "mode": "vector"})
        await queries.execute("SELECT pg_stat_force_next_flush()")
    await pool.execute("SELECT pg_stat_clear_snapshot()")
    assert await pool.fetchval(scans) > 0
    await pool.execute("DELETE FROM things WHERE owner_id = ANY($1)", [few.id, many.id])


async def test_a_peer_with_many_rows_searches_by_the_index_too(
    pool, peers, record, resources, searching, ada
):
    """And neither wall reads all the rows that the grant opens: just enough to know that they are many."""
    insert = (
        "INSERT INTO things (owner_id, title, body, kind, tags, extra)"
        " SELECT $1, 'plum ' || n, '', 'a', '{}', '{}' FROM generate_series(1, 7000) n"
    )
    await pool.execute(insert, ada.id)
    await pool.execute("UPDATE things_vectors SET embedding = '[1,0,0,0.01]' WHERE embedding IS NULL")
    # What vacuum took out of the rows of other tests may have held its graph together.
    await pool.execute("REINDEX INDEX things_vectors_hnsw_idx")
    await pool.execute("ANALYZE things; ANALYZE things_vectors; ANALYZE memberships")
    view = grant(ada)
    await record(view)
    asked = []

    class Listening:
        async def fetch(self, query, *args):
            asked.append((query, args))
            return await peers.fetch(query, *args)

    both = ResourceRows(pool, resources, lambda: [b"k" * 32], Listening(), searching)
    assert (await both.search(view, "things", {"q": "fruit", "mode": "vector"})).rows == 50
    plan = [
        row[0]
        for query, args in asked
        for row in await peers.fetch(f"EXPLAIN (ANALYZE, TIMING off) {query}", *args)
    ]
    await pool.execute("DELETE FROM things WHERE owner_id = $1", ada.id)
    assert any("Index Scan using things_vectors_hnsw_idx" in line for line in plan), plan
    reads = [
        re.search(r"Scan .*actual rows=(\d+) loops=(\d+)", line)
        for line in plan
        if "Bitmap Index" not in line
    ]
    assert max(int(read[1]) * int(read[2]) for read in reads if read) <= 5001, plan


async def test_of_a_viewer_who_sees_many_rows_it_is_not_asked_again_for_a_moment(
    pool, resources, searching, add, ada, monkeypatch
):
    monkeypatch.setattr(search, "_EXACT", 1)
    asked = []

    class Listening:
        async def fetch(self, query, *args):
            asked.append(query)
            return await pool.fetch(query, *args)

    searching = replace(searching, crowds={})
    listening = ResourceRows(Listening(), [resources[0]], lambda: [b"k"], None, searching)

    async def statements() -> int:
        asked.clear()
        await listening.search(ada, "things", {"q": "fruit", "mode": "vector"})
        return len(asked)

    await add(ada, title="plum")
    assert [await statements(), await statements()] == [2, 2]
    await add(ada, title="plum")
    assert [await statements(), await statements()] == [2, 1]
    monkeypatch.setattr(search, "_CROWDED", 0.0)
    searching.crowds.clear()
    assert [await statements(), await statements()] == [2, 2]


async def test_a_row_that_goes_to_a_team_keeps_its_vector(pool, add, index, ada, identities, embedder):
    thing = await add(ada, title="plum")
    await index()
    team = await identities.add_team(f"t{uuid4().hex[:20]}")
    embedder.texts.clear()
    await pool.execute("UPDATE things SET team_id = $1 WHERE id = $2", team.id, thing["id"])
    await index()
    assert embedder.texts == []


@given(
    texts=st.lists(
        st.tuples(st.sampled_from(["plum", "fruit", "invoice"]), st.integers(0, 1), st.booleans()), max_size=8
    ),
    excluded=st.integers(0, 7),
    personal=st.booleans(),
    team=st.booleans(),
    mode=st.sampled_from(MODES),
    q=st.sampled_from(["plum", "fruit", "fruit -plum", "plu*"]),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_a_search_finds_no_row_that_a_list_would_not_show(
    rows, add, index, new_user, identities, texts, excluded, personal, team, mode, q
):
    users = [await new_user(), await new_user()]
    crew = await identities.add_team(f"t{uuid4().hex}")
    await identities.add_member(crew.slug, users[0].username)
    await identities.add_member(crew.slug, users[1].username)
    await identities.remove_member(crew.slug, users[1].username) if not team else None
    made = []
    for title, owner, shared in texts:
        place = {"team_id": str(crew.id)} if shared and (owner == 0 or team) else {}
        made.append(await add(users[owner], title=title, **place))
    await index()
    scope = {"include_personal": personal, "include_teams": "all" if team or not personal else ()}
    if made:
        scope["excluded_resources"] = (f"things/{made[excluded % len(made)]['id']}",)
    for viewer in (*users, grant(users[0], **scope), grant(users[1], **scope)):
        listed = json.loads((await rows.list(viewer, "things", {})).body)["items"]
        items = json.loads((await rows.search(viewer, "things", {"q": q, "mode": mode})).body)["items"]
        ids = [item["id"] for item in items]
        assert len(set(ids)) == len(ids)
        assert set(ids) <= {item["id"] for item in listed}
        if mode == "vector" and q == "fruit":  # and all of those that it should
            assert set(ids) == {item["id"] for item in listed if item["title"] in {"plum", "fruit"}}
