"""Named queries in ``.sql`` files: one room for SQL, no strings in between.

By hand, in ten lines: the libraries for this bind a driver or rewrite the text.
"""

from __future__ import annotations

import re
from importlib.resources import files
from types import SimpleNamespace

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


def load_queries(package: str, filename: str) -> SimpleNamespace:
    """Read ``-- name: x`` blocks of a packaged SQL file; each becomes an attribute ``x``."""
    text = files(package).joinpath(filename).read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    return SimpleNamespace(
        **{n: sql.strip().rstrip(";") for n, sql in zip(parts[::2], parts[1::2], strict=True)}
    )
