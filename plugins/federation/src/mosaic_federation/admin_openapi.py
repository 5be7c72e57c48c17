"""What the OpenAPI document says of the admin API. Its schemas are those that the routes check by."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import TypeAdapter

from mosaic_federation.admin_requests import GrantUpdate, NewGrant, NewPeer, Why
from mosaic_federation.grant_records import Change, Grant
from mosaic_federation.openapi import Json, items, operation, parameter
from mosaic_federation.peers import Peer
from mosaic_federation.routes import SHOWN
from mosaic_hookspecs.scope import Scope

Mode = Literal["validation", "serialization"]

_IF_MATCH: Json = {
    "name": "If-Match",
    "in": "header",
    "description": "Change the grant only if its ETag is still this one; `*` for any.",
    "schema": {"type": "string", "pattern": '^(\\*|"[1-9][0-9]{0,8}")$'},
}
_CHANGE = (404, 409, 412, 413, 422)
_ADMINS: list[Json] = [
    {"token": ["admin"]}
]  # role names, as OpenAPI 3.1 has them: what else the token must be


def admin_openapi(prefix: str, states: tuple[str, ...]) -> Json:
    """A document with the admin API's paths, below ``prefix``, and schemas."""
    grant, peer = f"{prefix}/grants/{{grant_id}}", f"{prefix}/peers/{{name}}"
    by_grant: Json = {"parameters": [parameter("path", "grant_id", {"type": "string", "format": "uuid"})]}
    by_name: Json = {"parameters": [parameter("path", "name", {"type": "string"})]}
    row = [parameter("path", "resource", {"type": "string"}), parameter("path", "row_id", {"type": "string"})]
    filters = [
        parameter("query", "status", {"enum": list(states)}),
        parameter("query", "peer", {"type": "string"}),
    ]
    actions = {
        "revoke": ("Take the grant back, whatever state it is in.", "Grant"),
        "release": ("Make a quarantined grant active again.", "Grant"),
        "reissue": ("Make a new enrollment URL, told this once.", "Offer"),
    }
    paths: Json = {
        f"{prefix}/grants": {
            "get": _operation("list_grants", "Grants, oldest first.", 200, "Grants", 422, parameters=filters),
            "post": _operation(
                "create_grant",
                "Make a grant. The enrollment URL is told this once.",
                *(201, "Offer", 404, 413, 422),
                body="NewGrant",
            ),
        },
        grant: {
            **by_grant,
            "get": _operation(
                "show_grant", "One grant, its scope in words and its history.", 200, "GrantShown", 404
            ),
            "patch": _operation(
                "update_grant",
                "Change parts of the scope of a pending or active grant, such as when it ends.",
                *(200, "Grant", *_CHANGE),
                body="GrantUpdate",
                parameters=[_IF_MATCH],
            ),
        },
        f"{grant}/explain/{{resource}}/{{row_id}}": {
            "parameters": [*by_grant["parameters"], *row],
            "get": _operation(
                "explain_scope", "Would this grant see this row, and why?", 200, "Explanation", 404
            ),
        },
        f"{prefix}/peers": {
            "get": _operation("list_peers", "Peers, by name.", 200, "Peers"),
            "post": _operation(
                "add_peer",
                "Enroll with another gateway. The gateway dials the URL's host.",
                *(201, "Peer", 409, 410, 413, 422),
                body="NewPeer",
            ),
        },
        peer: {
            **by_name,
            "get": _operation("show_peer", "One peer.", 200, "Peer", 404),
            "delete": _operation("remove_peer", "Forget a peer and erase its key.", 204, None, 404),
        },
        f"{peer}/test": {
            **by_name,
            "post": _operation("test_peer", "Ask a peer over mTLS who we are.", 200, "PeerTested", 404),
        },
        f"{peer}/renew": {
            **by_name,
            "post": _operation(
                "renew_peer", "Have our certificate for a peer renewed now.", 200, "Peer", 404, 409
            ),
        },
    }
    for action, (summary, schema) in actions.items():
        operation = _operation(
            f"{action}_grant", summary, *(200, schema, *_CHANGE), body="Why", parameters=[_IF_MATCH]
        )
        operation["requestBody"]["required"] = False
        paths[f"{grant}/{action}"] = {**by_grant, "post": operation}
    return {"paths": paths, "components": {"schemas": _schemas()}}


def _operation(
    name: str, summary: str, status: int, schema: str | None, *problems: int, body: str = "", **more: Any
) -> Json:
    answer, taken = (_ref(each) if each else None for each in (schema, body))
    more["security"] = _ADMINS
    return operation(name, summary, status, answer, 400, 403, *problems, body=taken, **more)


def _schemas() -> Json:
    inputs: tuple[type[Any], ...] = (NewGrant, GrantUpdate, Why, NewPeer, Scope)
    outputs: tuple[type[Any], ...] = (Grant, Change, Peer)
    adapters: list[tuple[str, Mode, TypeAdapter[Any]]] = [
        *((one.__name__, "validation", TypeAdapter(one)) for one in inputs),
        *((one.__name__, "serialization", TypeAdapter(one)) for one in outputs),
    ]
    _, whole = TypeAdapter.json_schemas(adapters, ref_template="#/components/schemas/{model}")
    made: Json = whole["$defs"]
    scopes = [name for name in made if name.startswith("Scope")]
    for name in scopes:
        made[name].pop("$schema", None)
    made["NewGrant"]["properties"]["scope"] = _ref(scopes[0])
    shown = (*SHOWN, "serial", "oid_arc", "added_by")
    fingerprint = {"ca_sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"}}
    columns = made["Peer"]["properties"]
    made["Peer"] = {"type": "object", "properties": {k: columns[k] for k in shown} | fingerprint}
    words = {"type": "array", "items": {"type": "string"}}
    url = {"type": "string", "format": "uri"}
    until = {"type": "string", "format": "date-time"}
    return made | {
        "Offer": _with("Grant", url=url, url_expires_at=until, scope_in_words=words),
        "GrantShown": _with(
            "Grant", scope_in_words=words, history={"type": "array", "items": _ref("Change")}
        ),
        "Grants": items(_ref("Grant")),
        "Peers": items(_ref("Peer"), joining={"type": "array", "items": {"type": "object"}}),
        "PeerTested": _with("Peer", checks={"type": "array", "items": {"type": "object"}}),
        "Explanation": {
            "type": "object",
            "properties": {"visible": {"type": "boolean"}, "reasons": words},
            "required": ["visible", "reasons"],
        },
    }


def _with(schema: str, **more: Json) -> Json:
    return {"allOf": [_ref(schema), {"type": "object", "properties": more, "required": list(more)}]}


def _ref(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}
