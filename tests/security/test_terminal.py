"""Rows of another gateway on a terminal: nothing in them is obeyed, wherever it stands."""

from __future__ import annotations

import json

import pytest

from mosaic_gateway.cli.shell import Shell

EVIL = ("\x1b]0;owned\x07", "\u009b31m", "\x7f", "\u202e", "\u2066", "a\nb", "\U000e0041")


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("as_json", [False, True])
def test_no_name_and_no_value_reaches_a_terminal_as_it_came(
    capsys: pytest.CaptureFixture[str], evil: str, as_json: bool
) -> None:
    row = {f"name {evil}": evil, "plain": [evil]}
    Shell(None, debug=False).table([row], columns=list(row), as_json=as_json, empty="")
    table = capsys.readouterr().out
    Shell(None, debug=False).record(row, as_json=as_json)
    record = capsys.readouterr().out
    for printed in (table, record):
        assert evil not in printed
        assert all(c.isprintable() or c == "\n" for c in printed)
    if as_json:
        assert (json.loads(table), json.loads(record)) == ([row], row)


def test_other_languages_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    Shell(None, debug=False).record({"größe": "日本 👍"}, as_json=True)
    assert "größe" in (printed := capsys.readouterr().out)
    assert "日本 👍" in printed
