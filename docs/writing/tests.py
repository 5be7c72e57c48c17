"""Which test covers a thing: found by reading the tests, so that no list is kept by hand."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

from writing import DOCS

ROOT = DOCS.parent
_FILES = ("tests/**/test_*.py", "*/tests/**/test_*.py", "plugins/*/tests/**/test_*.py")
#: It runs the console blocks of every page.
PAGES = "tests/docs/test_pages.py"


def test_of(pattern: str, *, has: str = "", among: str = "", stored: str = "") -> str:
    """A test whose text has ``pattern``, as ``path::name``; empty if there is none.

    ``has``: a word that it has, too, which is sooner found. ``among``: the file it is in. ``stored``: the page as it
    is; a test that it names already is taken before the first, so that a new test makes no page stale.
    """
    wanted = re.compile(pattern)
    every = ((name, text) for name, text in _tests() if name.startswith(among) and has in text)
    return _chosen([name for name, text in every if wanted.search(text)], stored)


def page_with(pattern: str, *, stored: str = "") -> str:
    """A page that shows a command with ``pattern``: what it shows is run."""
    wanted = re.compile(pattern)
    return _chosen([page for page, commands in _pages() if wanted.search(commands)], stored)


def _chosen(names: list[str], stored: str) -> str:
    return next((name for name in names if f"`{name}`" in stored), next(iter(names), ""))


@cache
def _tests() -> list[tuple[str, str]]:
    found = []
    for path in sorted({path for pattern in _FILES for path in ROOT.glob(pattern)}):
        text = path.read_text()
        lines = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_function and node.name.startswith("test_"):
                first = min((each.lineno for each in node.decorator_list), default=node.lineno)
                name = f"{path.relative_to(ROOT).as_posix()}::{node.name}"
                found.append((name, "\n".join(lines[first - 1 : node.end_lineno])))
    return found


@cache
def _pages() -> list[tuple[str, str]]:
    pages = [ROOT / "README.md", *sorted(DOCS.glob("**/*.md"))]
    return [
        (path.relative_to(ROOT).as_posix(), _commands(path)) for path in pages if "_build" not in path.parts
    ]


def _commands(path: Path) -> str:
    blocks = [each for each in MarkdownIt().parse(path.read_text()) if each.type == "fence"]
    shown = "\n".join(each.content for each in blocks if each.info.startswith("console"))
    return "\n".join(line for line in shown.splitlines() if line.startswith(("$ ", "> ")))
