"""Rows from a gateway that may mean ill, on their way to a terminal."""

from __future__ import annotations

import json

import pytest

from mosaic_federation.answers import read_page, read_row
from mosaic_hookspecs.errors import Unavailable


def test_a_page_and_a_row_are_read() -> None:
    page = read_page(b'{"items":[{"id":"1"}],"next_cursor":"aB3_-"}', "peer")
    assert (page.items, page.next_cursor) == ([{"id": "1"}], "aB3_-")
    assert read_page(b'{"items":[],"next_cursor":null}', "peer").next_cursor is None
    assert read_row(b'{"id":"1"}', "peer") == {"id": "1"}


@pytest.mark.parametrize("body", [b"", b"\x1b[31m", b"\xff", b"<html>", b"[1]", b"[" * 90_000, b'"x"'])
def test_what_is_no_answer_is_said_to_be_none(body: bytes) -> None:
    for read in (read_page, read_row):
        with pytest.raises(Unavailable, match="peer 'work' does not answer like a gateway"):
            read(body, "peer 'work'")


@pytest.mark.parametrize("page", [{}, {"items": ["x"]}, {"items": {}}, {"items": [], "next_cursor": 1}])
def test_a_page_of_another_shape_is_none(page: object) -> None:
    with pytest.raises(Unavailable):
        read_page(json.dumps(page).encode(), "peer")


@pytest.mark.parametrize("cursor", ["\x1b]0;x\x07", "\u009b2J", "a b", "a\n", "$(reboot)", ""])
def test_a_cursor_that_could_do_harm_on_a_terminal_is_refused(cursor: str) -> None:
    with pytest.raises(Unavailable):
        read_page(json.dumps({"items": [], "next_cursor": cursor}).encode(), "peer")


def nested(depth: int) -> bytes:
    return b'{"items":[{"id":"1","x":' + b"[" * depth + b"]" * depth + b"}]}"


def test_what_was_read_can_be_written_wherever_it_goes() -> None:
    """JSON that is only just read, near the top of the stack, would be an error further down, for all sources."""
    page = read_page(nested(50), "peer")

    def deeper(frames: int) -> str:
        return deeper(frames - 1) if frames else json.dumps(page.items)

    assert deeper(200)
    for depth in (101, 500, 900, 969):
        with pytest.raises(Unavailable, match="does not answer like a gateway"):
            read_page(nested(depth), "peer")


@pytest.mark.parametrize("value", [b"[]", b"{}", b'{"id":""}', b"0", b'"\\",\\""', b"[[[]]]"])
def test_an_answer_of_too_many_values_is_not_taken_apart(value: bytes) -> None:
    """64 MB of the smallest rows took half a minute of this gateway's time, and 2 GB."""
    body = b'{"id":"1","items":[' + b",".join([value] * 150_000) + b"]}"
    for read in (read_page, read_row):
        with pytest.raises(Unavailable, match="more than 100000 values"):
            read(body, "peer")


def test_values_without_a_comma_are_counted_too() -> None:
    one = b"[" * 90 + b"]" * 90
    with pytest.raises(Unavailable, match="more than 100000 values"):
        read_page(b'{"items":[' + b",".join([one] * 1200) + b"]}", "peer")


@pytest.mark.parametrize("string", [b'""', b'"a"', rb'"\\"', rb'"\""'])
def test_strings_are_bounded_before_they_are_told_apart(string: bytes) -> None:
    body = b'{"items":[{"id":"1","x":"' + b"," * 150_000 + b'"}],"a":[' + string * 300_000
    with pytest.raises(Unavailable, match="more than 100000 values"):
        read_page(body, "peer")


@pytest.mark.parametrize("code", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_json_is_utf_8(code: str) -> None:
    """RFC 8259, 8.1. In another code half a letter may look like a quote, and hide what is counted."""
    with pytest.raises(Unavailable, match="does not answer like a gateway"):
        read_page('{"items":[{"id":"\u2222"}]}'.encode(code), "peer")


def test_a_number_that_takes_long_to_read_is_none() -> None:
    number = b"7" * 900
    assert read_page(b'{"items":[{"id":"1","x":' + number + b"}]}", "peer").items[0]["x"] == int(number)
    with pytest.raises(Unavailable, match="does not answer like a gateway"):
        read_page(b'{"items":[{"id":"1","x":' + number * 4 + b"}]}", "peer")


@pytest.mark.parametrize(
    "text", [b"1,2,3\\n" * 200_000, b'\\",' * 400_000, b"\\\\" * 500_000 + b"," * 200_000]
)
def test_commas_in_a_text_are_no_values(text: bytes) -> None:
    body = b'{"items":[{"id":"1","body":"' + text + b'"}]}'
    assert read_page(body, "peer").items[0]["body"] == json.loads(b'"' + text + b'"')
    with pytest.raises(Unavailable, match="like a gateway"):
        read_page(body[:-5], "peer")
