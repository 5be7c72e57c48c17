"""What peers may ask, as OpenAPI: the document is in docs/reference, and no listener serves it.

It says what holds for any gateway of this release. Which resources there are, and which columns they have, is the
grant's: a peer learns it from ``/capabilities`` and ``/whoami``, and nobody learns what a grant leaves out.
"""

from __future__ import annotations

from mosaic_federation.capabilities import Capabilities
from mosaic_federation.mutual.words import Heads, SharedRows
from mosaic_federation.openapi import Json, items, operation, parameter

_PREFIX = "/federation/v1"
_TEXT: Json = {"type": "string"}
_UUID: Json = {"type": "string", "format": "uuid"}
_LIMIT = parameter("query", "limit", {"type": "integer", "minimum": 1, "maximum": 1000})
_LIST = (
    _LIMIT,
    parameter("query", "cursor", {"type": "string", "minLength": 1}),
    parameter("query", "sort", {"type": "string", "pattern": "^-?[a-z][a-z0-9_]{0,62}$"}),
    parameter("query", "filter", {"type": "object", "additionalProperties": _TEXT})
    | {
        "style": "form",
        "explode": True,
        "description": "`column=value`, or `column.gte=value` and its like.",
    },
)
_SEARCH = (
    parameter("query", "q", {"type": "string", "minLength": 1}) | {"required": True},
    _LIMIT,
    parameter("query", "mode", {"enum": ["text", "vector", "hybrid"]}),
    parameter("query", "lang", _TEXT),
    parameter("query", "highlight", {"type": "boolean", "default": False}),
)
_ROW: Json = {"type": "object", "properties": {"id": _UUID}, "required": ["id"]}
_CURSOR: Json = {"type": ["string", "null"]}
_ANY = (400, 403, 404, 429)


def _object(**properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


_WHOAMI = _object(
    gateway=_TEXT,
    peer=_TEXT,
    grant_id=_UUID,
    subject=_object(id=_UUID, username=_TEXT),
    scope={"type": "object"},
    scope_in_words={"type": "array", "items": _TEXT},
    grant_expires_at={"type": ["string", "null"], "format": "date-time"},
    certificate=_object(serial=_TEXT, not_after={"type": "string", "format": "date-time"}),
    oid_arc=_TEXT,
    release=_TEXT,
    protocol=_object(min={"type": "integer"}, max={"type": "integer"}),
    time={"type": "string", "format": "date-time"},
)


def peer_openapi() -> Json:
    """Paths of the listener for peers; whoever serves them adds the problems that any route may answer."""
    many = f"{_PREFIX}/{{resource}}"
    resource = parameter("path", "resource", {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,62}$"})
    found = items(_ROW)
    renewed = (200, _object(chain=_TEXT), *_ANY, 409, 413, 422)
    paths: Json = {
        f"{_PREFIX}/whoami": {
            "get": operation("whoami", "What your certificate and grant say.", 200, _WHOAMI, *_ANY)
        },
        f"{_PREFIX}/capabilities": {
            "get": operation(
                "capabilities",
                "What this release can do, with your grant.",
                *(200, Capabilities.model_json_schema(mode="serialization"), *_ANY),
            )
        },
        f"{_PREFIX}/renew": {
            "post": operation("renew", "Have a new key signed.", *renewed, body=_object(csr=_TEXT))
        },
        f"{_PREFIX}/audit/head": {
            "get": operation(
                "audit_head",
                "Our latest checkpoint, the one you name, and the last of yours that we were told.",
                *(200, Heads.model_json_schema(mode="serialization"), *_ANY),
                parameters=[parameter("query", "known", {"type": "integer", "minimum": 1})],
            ),
            "post": operation(
                "audit_hear",
                "Tell your latest checkpoint, and the one that we were told last.",
                *(200, {"type": "object"}, *_ANY, 409, 413),
                body=Heads.model_json_schema(),
            ),
        },
        f"{_PREFIX}/audit/rows": {
            "get": operation(
                "audit_rows",
                "What is on record of your grant, by time.",
                *(200, SharedRows.model_json_schema(mode="serialization"), *_ANY),
                parameters=[
                    parameter("query", "since", {"type": "string", "format": "date-time"})
                    | {"required": True},
                    parameter("query", "after", _TEXT),
                ],
            )
        },
        many: {
            "parameters": [resource],
            "get": operation(
                "list", "One page of rows.", 200, items(_ROW, next_cursor=_CURSOR), *_ANY, parameters=[*_LIST]
            ),
        },
        f"{many}/search": {
            "parameters": [resource],
            "get": operation("search", "The best matches.", 200, found, *_ANY, parameters=[*_SEARCH]),
        },
        f"{many}/{{row_id}}": {
            "parameters": [resource, parameter("path", "row_id", _UUID)],
            "get": operation("get", "One row.", 200, _ROW, *_ANY),
        },
    }
    return {"paths": paths}
