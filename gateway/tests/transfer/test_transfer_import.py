from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosaic_gateway.transfer import Report, export_rows, find_sources, import_files
from mosaic_hookspecs.errors import Invalid, NotFound
from mosaic_hookspecs.types import STANDARD_COLUMNS

DEMO = Path(__file__).parents[3] / "docs" / "demo"
numbers = count()


@pytest.fixture
def load(rows, ada):
    """Import paths as ada, or as another viewer."""

    async def load(*paths, resource="tasks", viewer=ada, team_id=None, dry_run=False, **options):
        sources = find_sources(paths, "auto", rows.resource(resource))
        return await import_files(
            rows, viewer, resource, sources, team_id=team_id, dry_run=dry_run, **options
        )

    return load


@pytest.fixture
def stored(rows, ada):
    async def stored(resource="tasks", viewer=ada):
        return [json.loads(item) async for item in rows.export(viewer, resource)]

    return stored


def content(items):
    """What the user wrote, without what the gateway adds."""
    kept = [{k: v for k, v in i.items() if k not in STANDARD_COLUMNS or k == "external_id"} for i in items]
    return sorted(kept, key=lambda item: json.dumps(item, sort_keys=True))


async def test_the_files_of_the_demo_arrive_and_a_second_import_changes_nothing(load, stored):
    files = (DEMO / "tasks.csv", DEMO / "calendar.ics")
    assert await load(*files) == Report(27, 0, 0, 0, False)
    before = await stored()
    assert await load(*files) == Report(0, 0, 27, 0, False)
    assert await stored() == before
    launch = next(item for item in before if item["external_id"] == "launch@relaunch.example")
    assert launch["due_at"] == "2027-01-20T08:00:00.000000Z"
    assert launch["tags"] == ["launch", "client"]
    offer = next(item for item in before if item["external_id"] == "offer-07")
    assert offer["body"] == "Option B only: the intranet corner is out.\nValid for 30 days."


async def test_a_folder_of_markdown_becomes_notes(load, stored, write):
    write("d/a.md", "---\ntitle: Plan\ntags: [x]\n---\ntext")
    write("d/sub/b.md", "# Žluť 🧭\n")
    assert await load(Path("d"), resource="notes") == Report(2, 0, 0, 0, False)
    assert [(i["external_id"], i["title"], i["tags"]) for i in content(await stored("notes"))] == [
        ("sub/b.md", "Žluť 🧭", []),
        ("a.md", "Plan", ["x"]),
    ]
    assert await load(Path("d"), resource="notes") == Report(0, 0, 2, 0, False)


async def test_json_and_ndjson_arrive(load, stored, write):
    one = write("a.json", '[{"external_id": "1", "title": "A", "priority": 3}]')
    other = write("b.ndjson", '{"external_id": "2", "title": "B", "tags": ["x", "y"]}\n')
    assert (await load(one, other)).created == 2
    assert [i["title"] for i in content(await stored())] == ["A", "B"]


async def test_a_changed_row_is_updated_and_no_other(load, stored, write):
    await load(write("a.csv", "external_id,title\n1,A\n2,B\n"))
    assert await load(write("a.csv", "external_id,title\n1,A\n2,Changed\n3,C\n")) == Report(1, 1, 1, 0, False)
    assert [(i["external_id"], i["title"]) for i in content(await stored())] == [
        ("1", "A"),
        ("2", "Changed"),
        ("3", "C"),
    ]


async def test_line_7001_of_10000_broken_is_named_and_nothing_is_stored(load, stored, write):
    lines = ["external_id,title,status", *(f"t{n},Task {n},open" for n in range(2, 10_001))]
    lines[7000] = "t7001,Task 7001,someday"
    with pytest.raises(Invalid) as error:
        await load(write("tasks.csv", "\n".join(lines)))
    (fault,) = error.value.faults
    assert fault.where == "tasks.csv:7001"
    assert "status" in fault.message
    assert error.value.exit_code == 2
    assert await stored() == []
    lines[7000] = "t7001,Task 7001,open"
    assert (await load(write("tasks.csv", "\n".join(lines)))).created == 9_999


async def test_the_first_20_faults_are_shown_and_the_others_counted(load, write):
    with pytest.raises(Invalid) as error:
        await load(write("t.csv", "title,status\n" + "A,never\n" * 50))
    assert [fault.where for fault in error.value.faults] == [f"t.csv:{line}" for line in range(2, 22)]
    assert "50 faults" in error.value.detail
    assert "30 more" in error.value.detail


async def test_a_fault_cannot_send_control_characters_to_the_terminal(load, write):
    with pytest.raises(Invalid) as error:
        await load(
            write("a.ics", "BEGIN:VCALENDAR\nBEGIN:VTODO\nUID:1\nDUE:\x1b[2J\nEND:VTODO\nEND:VCALENDAR\n"),
            write("b\udcff.csv", "title\n"),
        )
    assert "\\x1b[2J" in error.value.faults[0].message
    assert error.value.faults[1].where == "b\\udcff.csv"


async def test_faults_of_several_files_are_shown_together(load, write):
    files = (write("a.csv", "title,status\nA,never\n"), write("b.json", "{"), write("c.ndjson", ""))
    with pytest.raises(Invalid) as error:
        await load(*files)
    assert [fault.where for fault in error.value.faults] == ["a.csv:2", "b.json:1", "c.ndjson"]


async def test_a_file_given_twice_is_refused_by_its_lines(load, write):
    file = write("a.csv", "external_id,title\n1,A\n")
    with pytest.raises(Invalid) as error:
        await load(file, file)
    (fault,) = error.value.faults
    assert (fault.where, fault.message) == ("a.csv:2", "external_id '1' was already used at a.csv:2")


async def test_an_external_id_used_twice_names_both_places(load, stored, write):
    with pytest.raises(Invalid) as error:
        await load(
            write("a.csv", "external_id,title\n1,A\n2,B\n"),
            write("b.ndjson", '{"external_id":"2","title":"C"}'),
        )
    (fault,) = error.value.faults
    assert (fault.where, fault.message) == ("b.ndjson:1", "external_id '2' was already used at a.csv:3")
    assert await stored() == []


@pytest.mark.parametrize(
    "line",
    [
        r'{"title": "a\u0000b"}',
        r'{"title": "\ud800"}',
        '{"title": "A", "colour": "red"}',
        '{"title": "A", "external_id": 7}',
        '{"title": "A", "external_id": ""}',
        '{"title": "A", "due_at": "2026-01-01T00:00:00"}',
        '{"title": "A", "priority": 1e400}',
        '{"title": 7}',
        "{}",
    ],
)
async def test_what_cannot_be_stored_is_a_fault_with_its_line(load, stored, write, line):
    with pytest.raises(Invalid) as error:
        await load(write("t.ndjson", f'{{"title": "fine"}}\n{line}\n'))
    assert {fault.where for fault in error.value.faults} == {"t.ndjson:2"}
    assert str(error.value).encode()  # can be printed
    assert await stored() == []


async def test_a_dry_run_says_what_would_happen_and_stores_nothing(load, stored, write):
    await load(write("a.csv", "external_id,title\n1,A\n2,B\n"))
    before = await stored()
    path = write("a.csv", "external_id,title\n1,A\n2,Changed\n3,C\n")
    assert await load(path, dry_run=True) == Report(1, 1, 1, 0, True)
    assert await stored() == before


async def test_rows_without_external_id_are_counted_because_they_will_be_doubled(load, stored, write):
    path = write("a.csv", "external_id,title\n,A\n,B\n3,C\n")
    report = await load(path)
    assert report == Report(3, 0, 0, 2, False)
    assert "2 rows had no external_id: importing again will duplicate them" in str(report)
    assert (await load(path)).created == 2
    assert len(await stored()) == 5


async def test_rows_for_a_team_are_seen_by_its_members(load, stored, write, identities, ada):
    await identities.add_user("bob")
    team = await identities.add_team("design")
    for name in ("ada", "bob"):
        await identities.add_member("design", name)
    await load(write("a.csv", "external_id,title\n1,A\n"), team_id=team.id)
    (row,) = await stored(viewer=await identities.user("bob"))
    assert row["team_id"] == str(team.id)


async def test_a_file_that_changes_while_it_is_imported_stores_nothing(load, stored, write):
    path = write("a.ndjson", '{"title": "A"}\n{"title": "B"}\n')

    def spoil(step, done, total):
        if (step, done) == ("checking", 2):
            write("a.ndjson", '{"title": "A"}\n{"title": \n')

    with pytest.raises(Invalid, match="changed while"):
        await load(path, progress=spoil)
    assert await stored() == []


async def test_progress_counts_every_row_of_both_passes(load, write):
    steps = []
    await load(write("a.csv", "title\nA\nB\n"), progress=lambda *step: steps.append(step))
    assert steps == [("checking", 1, None), ("checking", 2, None), ("storing", 1, 2), ("storing", 2, 2)]


async def test_an_unknown_resource_is_not_found(rows, ada, tmp_path):
    with pytest.raises(NotFound):
        await import_files(rows, ada, "unheard", [], team_id=None, dry_run=False)
    with pytest.raises(NotFound):
        await export_rows(rows, ada, "unheard", tmp_path / "never.ndjson")
    assert list(tmp_path.iterdir()) == []


text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
written = st.fixed_dictionaries(
    {"title": text.filter(lambda title: title.strip() != "")},
    optional={
        "body": text,
        "status": st.sampled_from(["open", "doing", "done", "cancelled"]),
        "tags": st.lists(st.sampled_from(["a", "ž", "two words", "x;y"]), max_size=3, unique=True),
        "due_at": st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    },
)


@given(items=st.lists(written, min_size=1, max_size=6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_an_export_imported_by_another_user_gives_the_same_rows(
    rows, identities, load, stored, tmp_path, items
):
    names = [f"user{next(numbers)}" for _ in range(2)]
    for name in names:
        await identities.add_user(name)
    first, second = [await identities.user(name) for name in names]
    records = [item | {"external_id": f"é{index}"} for index, item in enumerate(items)]
    await rows.store_many(first, "tasks", records, team_id=None, dry_run=False)

    file = tmp_path / "out.ndjson"
    assert await export_rows(rows, first, "tasks", file) == len(items)
    assert (await load(file, viewer=second)).created == len(items)
    assert content(await stored(viewer=second)) == content(await stored(viewer=first))
    assert await load(file, viewer=first) == Report(0, 0, len(items), 0, False)
