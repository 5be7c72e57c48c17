"""Pieces of Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

GENERATED = "<!-- Written by `make docs`. Change the code, not this page. -->"


def page(parts: list[str]) -> str:
    return "\n\n".join([parts[0], GENERATED, *parts[1:]]) + "\n"


def fence(language: str, text: str) -> str:
    return f"```{language}\n{text.strip()}\n```"


def prose(thing: Any) -> str:
    """The docstring, its reStructuredText roles as plain Markdown code."""
    text = (inspect.getdoc(thing) or "").replace("``", "`")
    return re.sub(r":(?:class|func|meth|data):`", "`", text)


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '&#124;').replace(chr(10), ' ') for cell in row)} |"
        for row in lines
    )


def between(text: str, name: str, written: str) -> str:
    """``text`` with what stands between the marks ``name`` written anew."""
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, _, rest = text.partition(start)
    return f"{before}{start}\n{written}\n\n{end}{rest.partition(end)[2]}"
