"""What a move or the local tier refuses is on the page about it, with what to do: none is left out."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from mosaic_gateway.refusals import REFUSALS

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs" / "how-to"
ERRORS = ("ConfigError", "Conflict", "Malformed", "Unavailable")
SOURCES = {
    "move-to-another-tier.md": [
        *(ROOT / "migrations/src/mosaic_migrations/tier").glob("*.py"),
        ROOT / "gateway/src/mosaic_gateway/cli/storage.py",
        ROOT / "gateway/src/mosaic_gateway/cli/tier_change.py",
    ],
    "local.md": [*(ROOT / "plugins/tier_local/src/mosaic_tier_local").glob("*.py")],
}


def messages(source: Path) -> Iterator[str]:
    """The longest piece of each error's text that is always the same."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS and node.args:
            text = node.args[0]
            pieces = text.values if isinstance(text, ast.JoinedStr) else [text]
            fixed = [p.value for p in pieces if isinstance(p, ast.Constant) and isinstance(p.value, str)]
            if fixed:
                yield max(fixed, key=len).strip(" :;,'")


@pytest.mark.parametrize("page", SOURCES)
def test_every_message_is_on_its_page(page: str) -> None:
    text = (HOW_TO / page).read_text()
    told = {message for source in SOURCES[page] for message in messages(source)}
    assert len(told) > 10
    assert sorted(message for message in told if message not in text) == []


def test_every_refusal_of_postgres_has_a_remedy_that_says_what_to_do() -> None:
    """The page has them all: tests/docs/test_reference.py compares it with the table."""
    assert [name for name, each in REFUSALS.items() if len(each.remedy) < 15] == []
