"""reference/config.md, and the schema of a config"""

from __future__ import annotations

import importlib
import inspect
import json
import typing
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from mosaic_gateway.cli.config import installed_schema
from mosaic_gateway.config import Config
from mosaic_hookspecs import PROJECT
from mosaic_hookspecs.models import descriptions
from writing import DOCS
from writing.markdown import page, prose, table

_HEAD = ["key", "takes", "meaning, and an example"]
_MOST_SHOWN = 8  # words of an enumeration


def config() -> str:
    parts = [
        "# Configuration",
        "One file, `mosaic.config.json` (or `.toml`, `.yaml`), in the directory a command runs in, or named by "
        "`--config` or `MOSAIC_CONFIG`. The environment overrides any key: `MOSAIC_LISTEN__PUBLIC__PORT=8081` "
        "sets `listen.public.port`. An unknown key stops the boot. `mosaic gateway config check` tells every fault, "
        "`config show --origin` where each value comes from; [config.schema.json](config.schema.json) is the whole as "
        'a JSON Schema, and a config may name it as `"$schema"` for an editor.',
        "The examples are those of [every-key.json](../examples/every-key.json), which "
        "`tests/docs/test_reference.py::test_every_key_is_in_the_example_that_is_bound` binds to the models.",
        table(_HEAD, settings(Config, "")),
        "## What each tier sets",
        "A value of yours goes before the tier's. The plugins are loaded without being named.",
        table(["tier", "storage", "queue", "pgvector", "plugins"], tiers()),
    ]
    for name, model in models().items():
        rows = list(settings(model, f"plugins.{name}."))
        parts += [f"## plugins.{name}", prose(model), table(_HEAD, rows)]
    return page(parts)


def models() -> dict[str, type[BaseModel]]:
    """The settings of each plugin that has some."""
    found = {}
    for point in sorted(entry_points(group=PROJECT), key=lambda point: point.name):
        module = importlib.import_module(point.value)
        if model := getattr(module, "mosaic_settings", lambda: None)():
            found[point.name] = model
    return found


def keys() -> set[str]:
    """Every key there is."""
    tables = [(Config, ""), *((model, f"plugins.{name}.") for name, model in models().items())]
    return {key for model, prefix in tables for key, _, _ in fields(model, prefix)}


@cache
def example() -> dict[str, Any]:
    """The config that has every key."""
    read: dict[str, Any] = json.loads((DOCS / "examples" / "every-key.json").read_text())
    return read


def shown_example(key: str) -> str:
    """What the example has for a key; nothing where it misses one, which a test finds."""
    value = example()
    for step in key.split("."):
        name = next(iter(value), "") if step == "*" else step
        if name not in value:
            return ""
        value = value[name]
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def tiers() -> Iterator[list[str]]:
    for point in sorted(entry_points(group=PROJECT), key=lambda point: point.name):
        for tier in getattr(importlib.import_module(point.value), "mosaic_tiers", list)():
            storage, queue = (
                f"`{kind}`" + (f" at `{url}`" if url else "")
                for kind, url in ((tier.storage, tier.storage_url), (tier.queue, tier.queue_url))
            )
            plugins = ", ".join(f"`{name}`" for name in (f"tier_{tier.name}", *tier.needs))
            yield [f"`{tier.name}`", storage, queue, "on" if tier.enable_vector else "off", plugins]


def fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, Any, str]]:
    """Each key below ``prefix``, its field, and what it means."""
    words = descriptions(model)
    for name, field in model.model_fields.items():
        kind = field.annotation
        *_, inner = typing.get_args(kind) or (kind,)
        if inspect.isclass(kind) and issubclass(kind, BaseModel):
            yield from fields(kind, f"{prefix}{name}.")
        elif typing.get_origin(kind) is dict and inspect.isclass(inner) and issubclass(inner, BaseModel):
            yield from fields(inner, f"{prefix}{name}.*.")  # * is any name
        else:
            yield f"{prefix}{name}", field, words.get(name, "")


def settings(model: type[BaseModel], prefix: str) -> Iterator[list[str]]:
    for key, field, meaning in fields(model, prefix):
        default = (
            "required" if field.is_required() else shown_default(field.get_default(call_default_factory=True))
        )
        example = "" if key == "plugins" else f" Example: {shown_example(key)}"
        yield [f"`{key}`", f"{shown_type(field.annotation)}; {default}", meaning + example]


def shown_default(value: Any) -> str:
    if value is PydanticUndefined or value is None:
        return "none unless set"
    return f"default `{value}`"


def shown_type(kind: Any) -> str:
    """`str | None` for a union, `path` for a Path: what a person writes in the file."""
    names = {"Path": "path", "str": "text", "int": "integer", "float": "number", "bool": "true or false"}
    names |= {"SecretStr": "secret text", "IPvAnyNetwork": "networks"}
    if typing.get_origin(kind) in (dict,):
        return "table"
    if typing.get_origin(kind) is typing.Literal:
        words = [f"`{choice}`" for choice in typing.get_args(kind)]
        return " or ".join(words) if len(words) <= _MOST_SHOWN else f"one of {len(words)} words"
    if arguments := [a for a in typing.get_args(kind) if a is not type(None)]:
        return " or ".join(dict.fromkeys(shown_type(a) for a in arguments if hasattr(a, "__name__")))
    return names.get(kind.__name__, kind.__name__.lower())


def config_schema() -> str:
    return json.dumps(installed_schema(), indent=2, ensure_ascii=False) + "\n"
