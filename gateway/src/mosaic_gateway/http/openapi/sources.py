"""What the document says of lists and searches over several sources."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import get_args

from mosaic_gateway.http.openapi.parameters import search_parameters
from mosaic_gateway.http.openapi.shapes import TOO_LONG, Json, answer, closed_object, problems, ref
from mosaic_gateway.http.sources import MOST_SECONDS
from mosaic_gateway.resources.search_query import Mode
from mosaic_gateway.sources.names import LONGEST
from mosaic_hookspecs.sources import Status

_TEXT: Json = {"type": "string"}
_MAYBE_TEXT: Json = {"type": ["string", "null"]}
_ROW: Json = {
    "type": "object",
    "description": "A row as its source shows it, and which one that is.",
    "properties": {"id": _TEXT, "source": _TEXT},
    "required": ["id", "source"],
}


def source_parameters(kinds: Sequence[str]) -> list[Json]:
    """Where to ask, and for how long."""
    one = "|".join(["local", *(f"{re.escape(kind)}:[^,]+" for kind in kinds)])
    forms = ", ".join(["`local`", *(f"`{kind}:*`, `{kind}:<name>`" for kind in kinds)])
    return [
        _query(
            "sources",
            f"Where to ask: {forms}, with commas between. The answer then says of each source how it did.",
            {"type": "string", "pattern": f"^({one})(,({one}))*$", "maxLength": LONGEST},
        ),
        _query(
            "timeout",
            "Seconds to wait for sources; `sources` is `local` unless given.",
            {"type": "number", "exclusiveMinimum": 0, "maximum": MOST_SECONDS},
        ),
    ]


def source_schemas() -> Json:
    """Components: how a source did, a merged page, merged findings."""
    report = closed_object(
        {
            "name": _TEXT,
            "status": {"type": "string", "enum": [*get_args(Status)]},
            "rows": {"type": "integer", "minimum": 0, "description": "Rows of this answer."},
            "latency_ms": {"type": "number", "minimum": 0},
            "age_s": {
                "type": ["number", "null"],
                "description": "Seconds since its rows left where they live.",
            },
            "detail": _TEXT,
            "remedy": _TEXT,
            "cursor": _MAYBE_TEXT | {"description": "Goes on with this source alone, where it failed."},
        }
    )
    items: Json = {"type": "array", "items": _ROW}
    sources: Json = {"type": "array", "items": ref("schemas", "SourceReport")}
    return {
        "SourceReport": report,
        "MergedPage": closed_object({"items": items, "next_cursor": _MAYBE_TEXT, "sources": sources}),
        "MergedFound": closed_object({"items": items, "sources": sources}),
    }


def search_path(kinds: Sequence[str], modes: tuple[Mode, ...]) -> Json:
    """The search over every resource."""
    resources = _query(
        "resources", "Names, with commas between; default: all.", {"type": "string", "minLength": 1}
    )
    found = answer("The best matches of each source, in turns.", ref("schemas", "MergedFound"))
    get: Json = {
        "operationId": "search",
        "summary": "Search every resource, here and at other sources",
        "parameters": [*search_parameters(modes), resources, *source_parameters(kinds)],
        "responses": {"200": found, "431": TOO_LONG} | problems(400, 401, 429),
    }
    return {"/v1/search": {"get": get}}


def _query(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema}
