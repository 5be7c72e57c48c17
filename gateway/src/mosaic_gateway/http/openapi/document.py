"""The document as a whole: what it says of the gateway itself, and where the resources go."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mosaic_gateway.http.openapi.mounted import add_mounted
from mosaic_gateway.http.openapi.resources import resource_paths, resource_schemas
from mosaic_gateway.http.openapi.shapes import (
    HEADERS,
    PROBLEM,
    UUID_SCHEMA,
    Json,
    answer,
    closed_object,
    problem_responses,
    problems,
    ref,
)
from mosaic_gateway.http.openapi.sources import search_path, source_schemas

if TYPE_CHECKING:
    from mosaic_gateway.http.services import PublicServices

_TEXT: Json = {"type": "string"}


def document(services: PublicServices) -> bytes:
    """Return the JSON of the document. Raises :class:`ConfigError` if a plugin describes what is there already."""
    resources = [services.rows.resource(name) for name in services.rows.names()]
    kinds = services.sources.kinds
    modes = {name: services.rows.modes(name) for name in services.rows.names()}
    paths = _gateway_paths() | search_path(kinds, min(modes.values(), key=len, default=("text",)))
    schemas = _gateway_schemas() | source_schemas()
    for resource in resources:
        paths |= resource_paths(resource, modes[resource.name], kinds)
        schemas |= resource_schemas(resource)
    for mount in services.mounts:
        if mount.listener == "public":
            add_mounted(mount, paths, schemas)
    whole = {
        "openapi": "3.1.0",
        "info": {
            "title": f"Mosaic Gateway {services.name}",
            "version": services.version,
            "description": "Rows of this gateway. Every problem is told as RFC 9457 problem details.",
        },
        "security": [{"token": []}],
        "tags": [{"name": each.name, "description": each.summary} for each in resources],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "mos_…"}},
            "schemas": schemas,
            "headers": HEADERS,
            "responses": problem_responses(),
        },
    }
    return json.dumps(whole, ensure_ascii=False).encode()


def _gateway_paths() -> Json:
    return {
        "/healthz": _get("healthz", "Is the process alive?", "Health", anonymous=True),
        "/readyz": _readyz(),
        "/openapi.json": _get("openapi", "This document.", "Document", anonymous=True),
        "/v1/me": _get("me", "The user of this token, and their teams.", "Me"),
        "/v1/resources": _get("resources", "The resources this gateway serves.", "Resources"),
    }


def _get(operation: str, summary: str, schema: str, *, anonymous: bool = False) -> Json:
    get: Json = {
        "operationId": operation,
        "summary": summary,
        "responses": {"200": answer(summary, ref("schemas", schema))}
        | problems(*(() if anonymous else (401, 429))),
    }
    if anonymous:
        get["security"] = []
    return {"get": get}


def _readyz() -> Json:
    path = _get("readyz", "Is every part ready?", "Readiness", anonymous=True)
    unready = answer("A part is not ready.", ref("schemas", "Readiness"), Retry_After="RetryAfter")
    path["get"]["responses"]["503"] = unready
    return path


def _gateway_schemas() -> Json:
    status = {"type": "string", "enum": ["green", "yellow", "red"]}
    team = closed_object({"id": UUID_SCHEMA, "slug": _TEXT, "name": _TEXT})
    resource = closed_object({"name": _TEXT, "summary": _TEXT})
    return {
        "Problem": PROBLEM,
        "Health": closed_object({"status": {"const": "alive"}}),
        "Readiness": closed_object(
            {
                "status": {"type": "string", "enum": ["ready", "unready"]},
                "probes": _list(closed_object({"name": _TEXT, "status": status})),
            }
        ),
        "Document": {"type": "object", "required": ["openapi", "info", "paths", "components"]},
        "Me": closed_object(
            {"id": UUID_SCHEMA, "username": _TEXT, "admin": {"type": "boolean"}, "teams": _list(team)}
        ),
        "Resources": closed_object({"items": _list(resource)}),
    }


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}
