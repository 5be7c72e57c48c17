"""Config files as people wrote them: read and written back with their comments, order and layout."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, MutableMapping
from typing import Any

import tomlkit
from ruamel.yaml import YAML


def parse(suffix: str, text: str) -> Any:
    """The document of a config file whose syntax has been checked."""
    if suffix == ".json":
        return json.loads(text)
    return tomlkit.parse(text) if suffix == ".toml" else _yaml().load(text)


def dump(suffix: str, document: Any, changes: Mapping[str, Any]) -> str:
    """The text of ``document`` with ``changes`` made. A table that changes has then these keys and no others."""
    for name, value in changes.items():
        _put(document, name, value)
    if suffix == ".json":
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if suffix == ".toml":
        return tomlkit.dumps(document)
    text = io.StringIO()
    _yaml().dump(document, text)
    return text.getvalue()


def _put(document: Any, name: str, value: Any) -> None:
    there = document.get(name)
    if not isinstance(there, MutableMapping) or not isinstance(value, Mapping):
        document[name] = value
        return
    for key in [key for key in there if key not in value]:
        del there[key]
    for key, each in value.items():
        if there.get(key) != each:
            there[key] = each


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 10_000  # an URL is not folded
    return yaml
