"""What the document says of one resource: its schemas and its seven operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mosaic_gateway.http.openapi.parameters import list_parameters, path_id, search_parameters
from mosaic_gateway.http.openapi.shapes import (
    EXAMPLE_ID,
    EXAMPLE_TIME,
    TIME_SCHEMA,
    TOO_LONG,
    UUID_SCHEMA,
    Json,
    answer,
    closed_object,
    problems,
    ref,
)
from mosaic_gateway.http.openapi.sources import source_parameters
from mosaic_gateway.resources.search_query import Mode
from mosaic_hookspecs.types import Resource

_STANDARD: Json = {
    "id": UUID_SCHEMA,
    "owner_id": UUID_SCHEMA,
    "team_id": {"anyOf": [UUID_SCHEMA, {"type": "null"}]},
    "external_id": {"anyOf": [{"type": "string", "minLength": 1, "maxLength": 500}, {"type": "null"}]},
    "created_at": TIME_SCHEMA,
    "updated_at": TIME_SCHEMA,
    "version": {"type": "integer", "minimum": 1},
}
_EXAMPLE_STANDARD: Json = {
    "id": EXAMPLE_ID,
    "owner_id": "0b6e0f5e-3f0e-4a7e-8f5a-6d2f1f0f9a11",
    "team_id": None,
    "external_id": None,
    "created_at": EXAMPLE_TIME,
    "updated_at": EXAMPLE_TIME,
    "version": 1,
}
_WRITABLE = ("team_id", "external_id")  # the standard columns that a request body may set
_IF_MATCH: Json = {
    "name": "If-Match",
    "in": "header",
    "description": "Change the row only if its ETag is still this one; `*` for any.",
    "schema": {"anyOf": [{"const": "*"}, {"type": "string", "pattern": '^"[1-9][0-9]{0,17}"$'}]},
    "example": "*",
}
_IF_NONE_MATCH: Json = {
    "name": "If-None-Match",
    "in": "header",
    "description": "Answer 304 without a body if the row's ETag is still this one.",
    "schema": {"type": "string"},
    "example": '"7"',
}


def resource_schemas(resource: Resource) -> Json:
    """Components: the item, what creates and what updates it, a page, found items, and the model's own."""
    name = resource.name
    written = _model_schema(resource, "validation")
    read = _model_schema(resource, "serialization")
    inner = written.pop("$defs", {}) | read.pop("$defs", {})
    items = _item_properties(resource)
    bodies = {} if resource.view else _bodies(name, written)
    return {f"{name}.{key}": schema for key, schema in inner.items()} | {
        f"{name}.item": closed_object(items),
        **bodies,
        f"{name}.page": closed_object(
            {
                "items": {"type": "array", "items": ref("schemas", f"{name}.item")},
                "next_cursor": {"type": ["string", "null"]},
            }
        ),
        f"{name}.found": closed_object({"items": {"type": "array", "items": _found(resource, items)}}),
    }


def _bodies(name: str, written: Json) -> Json:
    """What creates and what updates a row."""
    writable = {key: _STANDARD[key] for key in _WRITABLE} | written["properties"]
    without_default = {key: _without_default(schema) for key, schema in writable.items()}
    return {
        f"{name}.create": closed_object(writable, written.get("required", [])),
        f"{name}.update": closed_object(without_default, []),
    }


def resource_paths(resource: Resource, modes: tuple[Mode, ...], kinds: Sequence[str]) -> Json:
    """Path items of the generic routes; ``modes``: ways to search it; ``kinds``: of sources beside the gateway."""
    many = {"get": _list(resource, _item_properties(resource), kinds)}
    one = {"parameters": [path_id()], "get": _get(resource)}
    if not resource.view:
        many |= {"post": _create(resource)}
        one |= {"patch": _update(resource), "delete": _delete(resource)}
    root = f"/v1/{resource.name}"
    search = {f"{root}/search": {"get": _search(resource, modes, kinds)}} if resource.search else {}
    return {root: many, **search, f"{root}/{{id}}": one}


def _found(resource: Resource, items: Json) -> Json:
    """An item with its rank and, if asked for, its highlights: U+0002 before each word found, U+0003 behind."""
    texts = {name: {"type": "string"} for name in resource.search}
    found = closed_object(items | {"rank": {"type": "number"}})
    return found | {"properties": found["properties"] | {"highlights": closed_object(texts)}}


def _item_properties(resource: Resource) -> Json:
    properties: Json = _STANDARD | _model_schema(resource, "serialization")["properties"]
    return {name: properties[name] for name in resource.columns}


def _operation(resource: Resource, verb: str, summary: str, responses: Json, **more: Any) -> Json:
    return {
        "operationId": f"{resource.name}_{verb}",
        "tags": [resource.name],
        "summary": summary,
        **more,
        "responses": responses,
    }


def _list(resource: Resource, items: Json, kinds: Sequence[str]) -> Json:
    either = {"anyOf": [ref("schemas", f"{resource.name}.page"), ref("schemas", "MergedPage")]}
    page = answer("A page of rows, and the cursor of the next one.", either)
    responses = {"200": page, "431": TOO_LONG} | problems(400, 401, 429)
    parameters = [*list_parameters(resource, items), *source_parameters(kinds)]
    return _operation(resource, "list", "List rows you may see", responses, parameters=parameters)


def _search(resource: Resource, modes: tuple[Mode, ...], kinds: Sequence[str]) -> Json:
    either = {"anyOf": [ref("schemas", f"{resource.name}.found"), ref("schemas", "MergedFound")]}
    responses = {"200": answer("The best matches first.", either), "431": TOO_LONG} | problems(400, 401, 429)
    parameters = [*search_parameters(modes), *source_parameters(kinds)]
    return _operation(resource, "search", "Search the rows you may see", responses, parameters=parameters)


def _create(resource: Resource) -> Json:
    created = _item(resource, "The new row.", Location="Location")
    created["links"] = {
        verb: {"operationId": f"{resource.name}_{verb}", "parameters": {"id": "$response.body#/id"}}
        for verb in ("get", "update", "delete")
    }
    responses = {"201": created} | problems(400, 401, 404, 408, 409, 413, 415, 422, 429)
    return _operation(resource, "create", "Create a row", responses, requestBody=_body(resource, "create"))


def _get(resource: Resource) -> Json:
    responses = {
        "200": _item(resource, "The row."),
        "304": answer("The row is as you know it.", ETag="ETag"),
    } | problems(401, 404, 429)
    return _operation(resource, "get", "Get a row", responses, parameters=[_IF_NONE_MATCH])


def _update(resource: Resource) -> Json:
    responses = {"200": _item(resource, "The row as it is now.")}
    responses |= problems(400, 401, 404, 408, 409, 412, 413, 415, 422, 429)
    return _operation(
        resource,
        "update",
        "Change the fields that are sent (RFC 7396)",
        responses,
        parameters=[_IF_MATCH],
        requestBody=_body(resource, "update"),
    )


def _delete(resource: Resource) -> Json:
    responses = {"204": answer("The row is gone.")} | problems(400, 401, 404, 412, 429)
    return _operation(resource, "delete", "Delete a row", responses, parameters=[_IF_MATCH])


def _item(resource: Resource, description: str, **headers: str) -> Json:
    response = answer(description, ref("schemas", f"{resource.name}.item"), ETag="ETag", **headers)
    if example := _example(resource):
        whole = resource.model.model_validate(example).model_dump(mode="json")  # with the defaults
        response["content"]["application/json"]["example"] = _EXAMPLE_STANDARD | whole
    return response


def _body(resource: Resource, what: str) -> Json:
    media: Json = {"schema": ref("schemas", f"{resource.name}.{what}")}
    if example := _example(resource):
        media["example"] = example
    return {"required": True, "content": {"application/json": media}}


def _example(resource: Resource) -> Json | None:
    """The first example the model's author gave."""
    examples = resource.model.model_json_schema().get("examples")
    return dict(examples[0]) if examples else None


def _model_schema(resource: Resource, mode: Any) -> Json:
    template = f"#/components/schemas/{resource.name}.{{model}}"
    return resource.model.model_json_schema(mode=mode, ref_template=template)


def _without_default(schema: Json) -> Json:
    return {key: value for key, value in schema.items() if key != "default"}
