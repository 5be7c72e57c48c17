"""The document of a listener other than the public one: what its plugin says of it, and the problems."""

from __future__ import annotations

from mosaic_gateway.http.openapi.shapes import HEADERS, PROBLEM, Json, problem_responses, problems


def listener_document(title: str, version: str, paths: Json) -> Json:
    """An OpenAPI 3.1 document of ``paths``, asked for with a client certificate."""
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "security": [{"certificate": []}],
        "paths": {path: {key: _whole(value) for key, value in item.items()} for path, item in paths.items()},
        "components": {
            "securitySchemes": {"certificate": {"type": "mutualTLS"}},
            "schemas": {"Problem": PROBLEM},
            "headers": HEADERS,
            "responses": problem_responses(),
        },
    }


def _whole(value: Json | list[Json]) -> Json | list[Json]:
    """An operation, with the problems that any may answer; parameters of the path stay as they are."""
    if isinstance(value, list):
        return value
    return value | {"responses": problems() | value["responses"]}
