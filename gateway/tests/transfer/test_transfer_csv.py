from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosaic_gateway.transfer import Source, csv_file, records
from mosaic_gateway.transfer.records import Record
from mosaic_gateway.transfer.sources import read
from mosaic_hookspecs.errors import Fault


@pytest.fixture
def parse(write, tasks):
    return lambda content: list(read(Source(write("t.csv", content), "csv"), tasks))


def test_a_row_becomes_a_record_without_its_empty_cells(parse):
    assert parse("external_id,title,body,tags\nt1,Plan,,a; b;;c\n") == [
        Record("t.csv:2", {"external_id": "t1", "title": "Plan", "tags": ["a", "b", "c"]})
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbftitle,body\nPlan,x\n",  # with a byte order mark
        b"title,body\r\nPlan,x\r\n",
        b"title,body\nPlan,x",  # without a last line end
        b" title , body \nPlan,x\n",
    ],
)
def test_the_ways_spreadsheets_write_are_all_read(parse, content):
    assert parse(content) == [Record("t.csv:2", {"title": "Plan", "body": "x"})]


def test_a_cell_with_line_breaks_keeps_later_line_numbers_right(parse):
    found = parse('title,body\nA,"one\ntwo\r\nthree"\n\nB,x\n')
    assert [(r.where, r.fields["body"]) for r in found] == [
        ("t.csv:2", "one\ntwo\r\nthree"),
        ("t.csv:6", "x"),
    ]


def test_letters_of_any_script_arrive_unchanged(parse):
    assert parse("title\nŽluťoučký 日本 🧭 عربي\n")[0].fields["title"] == "Žluťoučký 日本 🧭 عربي"


def test_an_unknown_column_is_named_with_its_nearest_known_one(parse):
    assert parse("title,prioriti\nA,1\n") == [
        Fault("t.csv:1", "tasks has no field 'prioriti': did you mean 'priority'?")
    ]


def test_a_column_like_no_other_is_answered_with_those_there_are(parse):
    (fault,) = parse("title,zzzzzz\nA,1\n")
    assert "it has title, body, status" in fault.message


@pytest.mark.parametrize(
    ("content", "where", "words"),
    [
        ("title,title\nA,B\n", "t.csv:1", "'title' is there twice"),
        ("title,body\nA\n", "t.csv:2", "1 cells, but the header has 2"),
        ("title,body\nA,B,C\n", "t.csv:2", "3 cells"),
        ('title,body\nA,"never closed\nB,x\n', "t.csv:2", "a quote opens in this row and never closes"),
        ('title,body\nA,x\nB,"x"y\n', "t.csv:3", "expected after"),
        (b"title,body\nA,x\nB,caf\xe9\n", "t.csv:3", "byte 0xe9 is not UTF-8"),
        ("title\nA\n".encode("utf-16"), "t.csv:1", "is not UTF-8"),
        ("title\rA\r", "t.csv:1", "carriage return"),
        ("", "t.csv", "holds no rows"),
        ("title,body\n", "t.csv", "holds no rows"),
    ],
)
def test_a_broken_file_is_answered_with_the_line_and_the_reason(parse, content, where, words):
    fault = parse(content)[-1]
    assert isinstance(fault, Fault)
    assert fault.where == where
    assert words in fault.message


@pytest.mark.parametrize(("where", "limit"), [(records, "MAX_LINE"), (csv_file, "MAX_CELL")])
def test_a_line_or_cell_without_end_is_not_read_into_memory(parse, monkeypatch, where, limit):
    monkeypatch.setattr(where, limit, 1000)
    assert parse(f'title\n"{"x" * 900}"\n')[0].where == "t.csv:2"
    (fault,) = parse(f'title\n"{"x" * 1001}"\n')
    assert fault.where == "t.csv:2"
    assert "1,000" in fault.message


def test_a_text_as_long_as_a_note_may_be_fits_into_a_cell(parse):
    assert len(parse("body\n" + "é" * 1_000_000)[0].fields["body"]) == 1_000_000


def test_one_broken_row_does_not_hide_the_others(parse):
    found = parse("title,body\nA\nB,x\nC\n")
    assert [type(item) for item in found] == [Fault, Record, Fault]


def test_rows_are_read_as_they_are_asked_for(write, tasks):
    path = write("t.csv", "title\n" + "A\n" * 50_000 + '"broken')
    assert next(read(Source(path, "csv"), tasks)).where == "t.csv:2"


cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=30)


@given(rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_the_csv_module_writes_is_read_back_with_its_line_numbers(parse, rows):
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    text = "title,body\n" + "\n".join(quoted)
    found = parse(text)
    assert [(r.fields["title"], r.fields["body"]) for r in found] == rows
    starts = [2 + sum(line.count("\n") + 1 for line in quoted[:i]) for i in range(len(rows))]
    assert [r.where for r in found] == [f"t.csv:{start}" for start in starts]
