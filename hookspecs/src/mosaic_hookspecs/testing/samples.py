"""A value that a model takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

_OF_FORMAT = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "uuid": "0b9f7c1e-5d0c-4d0e-9a53-5f3f6d0f9f11",
    "time": "12:00:00Z",
    "email": "lead@work.example",
    "uri": "https://work.example/",
}


def sample(model: type[BaseModel]) -> dict[str, Any]:
    """The first of the model's ``examples`` in its JSON Schema, else its required fields, made from their types.

    What a ``pattern`` or a validator of its own asks for is not guessed: such a model needs an example.
    """
    schema = model.model_json_schema()
    if examples := schema.get("examples"):
        return dict(examples[0])
    return _table(schema, schema.get("$defs", {}))


def _value(schema: Mapping[str, Any], shared: Mapping[str, Any]) -> Any:
    if "$ref" in schema:
        schema = shared[schema["$ref"].rpartition("/")[2]]
    if "const" in schema:
        return schema["const"]
    if choices := schema.get("examples") or schema.get("enum"):
        return choices[0]
    if options := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return _value(options[0], shared)
    make = _OF_TYPE.get(schema.get("type", ""))
    return make(schema, shared) if make else None


def _text(schema: Mapping[str, Any], _shared: Mapping[str, Any]) -> str:
    return _OF_FORMAT.get(schema.get("format", ""), "wombat".ljust(schema.get("minLength", 0), "t"))


def _number(schema: Mapping[str, Any], _shared: Mapping[str, Any]) -> Any:
    return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)


def _list(schema: Mapping[str, Any], shared: Mapping[str, Any]) -> list[Any]:
    return [_value(schema.get("items", {}), shared)] * schema.get("minItems", 0)


def _table(schema: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    fields = schema.get("properties", {})
    return {name: _value(fields[name], shared) for name in schema.get("required", ())}


_OF_TYPE: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Any]] = {
    "string": _text,
    "integer": _number,
    "number": _number,
    "boolean": lambda *_: True,
    "array": _list,
    "object": _table,
}
