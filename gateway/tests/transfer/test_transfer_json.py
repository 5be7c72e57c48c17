from __future__ import annotations

import pytest

from mosaic_gateway.transfer import Source
from mosaic_gateway.transfer.records import Record
from mosaic_gateway.transfer.sources import read
from mosaic_hookspecs.errors import Fault


@pytest.fixture
def parse(write, tasks):
    return lambda content, form="json": list(read(Source(write(f"t.{form}", content), form), tasks))


def test_an_array_gives_a_record_per_object(parse):
    assert parse('\ufeff[{"title": "A"},\r\n {"title": "Ž"}]') == [
        Record("t.json[0]", {"title": "A"}),
        Record("t.json[1]", {"title": "Ž"}),
    ]


def test_one_object_gives_one_record(parse):
    assert parse('{"title": "A"}') == [Record("t.json", {"title": "A"})]


@pytest.mark.parametrize(
    ("content", "where", "words"),
    [
        ('[{"title": "A"},\n {"title": "B"\n', "t.json:3", "not JSON"),
        ('{"title": "A"} extra', "t.json:1", "Extra data (column 16)"),
        ('[{"title": "A"}, 7]', "t.json[1]", "expected an object"),
        ('"text"', "t.json", "expected an object"),
        ('[{"priority": NaN}]', "t.json", "NaN is not a JSON number"),
        ('{"title": "A", "title": "B"}', "t.json", "same name twice"),
        ("[" * 100_000, "t.json", "nested too deeply"),
        ('[{"priority": ' + "9" * 5_000 + "}]", "t.json", "not JSON"),
        (b'[{"title":\n"caf\xe9"}]', "t.json:2", "is not UTF-8"),
        ("", "t.json", "holds no rows"),
        (" \n", "t.json", "holds no rows"),
        ("[]", "t.json", "holds no rows"),
    ],
)
def test_a_broken_document_is_answered_with_its_place_and_the_reason(parse, content, where, words):
    fault = parse(content)[-1]
    assert isinstance(fault, Fault)
    assert fault.where == where
    assert words in fault.message


def test_each_line_of_ndjson_is_a_record_and_blank_lines_are_none(parse):
    assert parse('{"title": "A"}\r\n\n{"title": "B"}', "ndjson") == [
        Record("t.ndjson:1", {"title": "A"}),
        Record("t.ndjson:3", {"title": "B"}),
    ]


def test_a_broken_line_of_ndjson_does_not_hide_the_others(parse):
    found = parse('{"title": "A"}\n{"title": \n[1]\n{"title": Infinity}\n{"title": "B"}\n', "ndjson")
    assert [item.where for item in found if isinstance(item, Fault)] == [f"t.ndjson:{n}" for n in (2, 3, 4)]
    assert found[-1] == Record("t.ndjson:5", {"title": "B"})


def test_an_empty_ndjson_is_a_fault(parse):
    assert parse("", "ndjson") == [Fault("t.ndjson", "holds no rows")]
