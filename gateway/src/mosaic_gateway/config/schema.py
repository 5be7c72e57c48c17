"""The JSON Schema of a whole config: the host's model and those of the plugins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

from mosaic_gateway.config.model import Config
from mosaic_hookspecs.models import descriptions

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def config_schema(tiers: Sequence[str], plugins: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """A schema that knows these tiers, and the tables of these plugins and no others."""
    tables: dict[str, Any] = {name: (model, None) for name, model in plugins.items()}
    plugins_model = create_model("Plugins", __config__=ConfigDict(extra="forbid"), **tables)
    whole = create_model("Whole", __base__=Config, plugins=(plugins_model, None))
    schema = whole.model_json_schema()
    for table in schema["$defs"]["Plugins"]["properties"].values():
        del table["default"]  # a table that is left out is not null
    properties = schema["properties"]
    properties["plugins"] = {
        "$ref": "#/$defs/Plugins",
        "description": descriptions(Config)["plugins"],
    }
    properties["tier"]["enum"] = list(tiers)
    properties["$schema"] = {"type": "string", "description": "Where this schema is, for editors."}
    return {"$schema": DIALECT, **schema, "title": "Mosaic Gateway", "description": Config.__doc__}
