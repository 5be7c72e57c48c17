"""What the OpenAPI document says of the routes for enrolling gateways, and of those for peers' rows."""

from __future__ import annotations

from typing import Any

from mosaic_federation.routes import SHOWN, Redemption

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_OBJECT: Json = {"type": "object"}


def operation(
    name: str,
    summary: str,
    status: int,
    schema: Json | None,
    *problems: int,
    body: Json | None = None,
    **more: Any,
) -> Json:
    """One operation; ``problems`` are the statuses of its refusals, besides those that any route has."""
    done: Json = {"description": summary}
    if schema:
        done["content"] = {"application/json": {"schema": schema}}
    if body:
        more["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    told = {str(each): {"$ref": f"#/components/responses/Problem{each}"} for each in problems}
    responses = {str(status): done, **told}
    return {"operationId": name, "summary": summary, "tags": ["federation"], "responses": responses, **more}


def parameter(place: str, name: str, schema: Json) -> Json:
    """A parameter in the ``path``, where it is required, or the ``query``."""
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


def items(schema: Json, **more: Json) -> Json:
    """An object with a list."""
    properties = {"items": {"type": "array", "items": schema}, **more}
    return {"type": "object", "properties": properties, "required": ["items"]}


def enrollment_openapi() -> Json:
    """Looking at an offer, and taking it."""
    body = Redemption.model_json_schema()
    whole = {
        "parameters": [parameter("path", "token", _TEXT)],
        "get": operation(
            "show_offer",
            "What an enrollment URL offers. Nothing is consumed.",
            200,
            _OBJECT,
            *(404, 410, 429),
        ),
        "post": operation(
            "take_offer",
            "Have a key signed; the URL is spent by it.",
            *(200, _OBJECT, 403, 404, 409, 410, 413, 422, 429),
            body=body,
        ),
    }
    return {"paths": {"/federation/v1/enroll/{token}": whole}}


def peer_rows_openapi() -> Json:
    """Rows of peers: what these take and answer is told by the peer's own document."""
    peers = items({"type": "object", "required": list(SHOWN)})
    page = items(_OBJECT, next_cursor={"type": ["string", "null"]})
    many = "/v1/peers/{peer}/{resource}"
    of_peer = [parameter("path", name, _TEXT) for name in ("peer", "resource")]
    refused = (400, 403, 404)
    paths: Json = {
        many: {"get": operation("list_peer_rows", "One page of a peer's rows.", 200, page, *refused)},
        f"{many}/search": {
            "get": operation("search_peer_rows", "The best matches in a peer's rows.", 200, page, *refused)
        },
        f"{many}/{{row_id}}": {
            "get": operation(
                "get_peer_row",
                "One row of a peer.",
                *(200, _OBJECT, *refused),
                parameters=[parameter("path", "row_id", _TEXT)],
            )
        },
    }
    for item in paths.values():
        item["parameters"] = of_peer
    listed = operation("list_readable_peers", "Peers that you may read through.", 200, peers)
    return {"paths": {"/v1/peers": {"get": listed}, **paths}}
