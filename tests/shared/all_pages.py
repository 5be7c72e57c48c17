"""Rows of a list, over all of its pages."""

from __future__ import annotations

import json
from typing import Any

from mosaic_hookspecs.protocols import Rows
from mosaic_hookspecs.types import Viewer


async def all_pages(
    rows: Rows, viewer: Viewer, resource: str, params: dict[str, str]
) -> list[dict[str, Any]]:
    """Every item, in order; ``params`` are those of the first page."""
    found: list[dict[str, Any]] = []
    while True:
        page = json.loads((await rows.list(viewer, resource, params)).body)
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        params = params | {"cursor": page["next_cursor"]}
