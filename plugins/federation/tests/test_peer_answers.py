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


@pytest.mark.parametrize("body", [b"", b"\x1b[31m", b"\xff", b"<html>", b"[1]", b"[" * 200_000, b'"x"'])
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
