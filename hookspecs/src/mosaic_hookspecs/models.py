"""The base of settings tables and of documents: frozen, without unknown keys, cheap to import."""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise
from textwrap import dedent

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class Model(BaseModel):
    """A pydantic model whose fields are described by the string after each.

    Pydantic's own ``use_attribute_docstrings`` reads the source of every model at each import, and it builds every
    validator at once: together a quarter of a command's time. Here both wait until they are needed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Put the descriptions in."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, words in descriptions(cls).items():
            if name in properties:
                properties[name]["description"] = words
        return schema


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """The string after each field of a model, by the field's name; inherited fields included."""
    found = {name: field.description for name, field in model.model_fields.items() if field.description}
    for each in reversed(model.__mro__):
        for statement, after in pairwise(_statements(each) if issubclass(each, Model) else ()):
            match statement, after:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(words))),
                ):
                    found[name] = inspect.cleandoc(words)
    return found


def _statements(model: type[Model]) -> list[ast.stmt]:
    try:
        [definition] = ast.parse(dedent(inspect.getsource(model))).body
    except (OSError, TypeError):  # made at run time
        return []
    return definition.body if isinstance(definition, ast.ClassDef) else []
