"""Tables on a terminal that is narrower than they are."""

from __future__ import annotations

import pytest
from rich.console import Console

from mosaic_gateway.cli.shell import _print_table


def test_nothing_is_cut_that_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An id of 36 characters, a time, and a sentence, as `mosaic audit verify` has them."""
    monkeypatch.setattr(Console, "is_terminal", property(lambda _: True))
    monkeypatch.setenv("COLUMNS", "100")
    row = {"first": "Q" * 36, "second": "X" * 32, "third": f"row 3 was edited and {'Y' * 60}"}
    _print_table([row], list(row))
    shown = capsys.readouterr().out
    assert [shown.count(letter) for letter in "QXY"] == [36, 32, 60]
    assert "…" not in shown
