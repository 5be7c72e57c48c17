"""Describe what plugins build on: hooks, protocols, data, errors and functions of mosaic_hookspecs, as JSON.

At a release, keep it beside this file for test_compatibility.py to compare later ones with:

    python hookspecs/tests/describe.py > hookspecs/tests/release_0_2.json
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import pkgutil
from importlib.metadata import version
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

import mosaic_hookspecs
from mosaic_hookspecs import PROJECT, specs

_NOT_THERE = ("specs", "testing")  # the hooks, which have a part of their own; and what only tests import


def describe() -> dict[str, Any]:
    """The hooks by name, and all that is public by module and name."""
    modules = [each.name for each in pkgutil.iter_modules(mosaic_hookspecs.__path__)]
    public = {name: _public(name) for name in sorted(modules) if name not in _NOT_THERE and name[0] != "_"}
    return {"release": version("mosaic-hookspecs"), "hooks": hooks(specs), "modules": public}


def hooks(module: Any) -> dict[str, Any]:
    """Each hook of a module of specs: its arguments in order, and when it goes away, if it says so."""
    return {
        name: {
            "arguments": list(inspect.signature(spec).parameters),
            "async": inspect.iscoroutinefunction(spec),
            "firstresult": options["firstresult"],
            "retired": str(options.get("warn_on_impl") or ""),
            "retired arguments": {k: str(v) for k, v in (options.get("warn_on_impl_args") or {}).items()},
        }
        for name, spec in vars(module).items()
        if (options := getattr(spec, f"{PROJECT}_spec", None))
    }


def _public(name: str) -> dict[str, Any]:
    module = importlib.import_module(f"mosaic_hookspecs.{name}")
    found = {
        each: _described(value, module) for each, value in sorted(vars(module).items()) if each[0] != "_"
    }
    return {each: what for each, what in found.items() if what}


def _described(value: Any, module: ModuleType) -> dict[str, Any] | None:
    if get_origin(value) is Literal:
        return {"kind": "choice", "values": sorted(get_args(value))}
    if getattr(value, "__module__", None) != module.__name__:
        return None
    if inspect.isfunction(value):
        return {"kind": "function", "parameters": _parameters(value)}
    return _class(value) if inspect.isclass(value) else None


def _class(value: type) -> dict[str, Any]:
    if getattr(value, "_is_protocol", False):
        return {"kind": "protocol", "members": _members(value)}
    if dataclasses.is_dataclass(value):
        fields = {each.name: _required(each) for each in dataclasses.fields(value) if each.init}
        return {"kind": "data", "fields": fields, "members": _members(value)}
    if models := getattr(value, "model_fields", None):
        return {"kind": "model", "fields": {name: each.is_required() for name, each in models.items()}}
    if issubclass(value, Exception):
        numbers = {name: getattr(value, name, None) for name in ("code", "status", "exit_code")}
        return {"kind": "error", "parameters": _parameters(value), **numbers}
    return {"kind": "class", "parameters": _parameters(value), "members": _members(value)}


def _members(value: type) -> dict[str, Any]:
    """Public attributes and methods, inherited ones included, standard ones not."""
    found: dict[str, Any] = {}
    for each in reversed(value.__mro__):
        if not each.__module__.startswith("mosaic_hookspecs"):
            continue
        names = dict.fromkeys((*vars(each).get("__annotations__", {}), *vars(each)))
        for name in names:
            member = inspect.getattr_static(each, name, None)
            member = member.__func__ if isinstance(member, classmethod | staticmethod) else member
            if name[0] != "_":
                found[name] = _parameters(member) if inspect.isfunction(member) else "attribute"
    return found


def _parameters(function: Any) -> list[str]:
    """Each parameter: ``name`` must be given, ``name=`` need not, ``*name`` only by name; ``name...`` takes many."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # of a class that has none
        return []
    return [_parameter(each) for each in parameters if each.name not in ("self", "cls")]


def _parameter(each: inspect.Parameter) -> str:
    if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
        return f"{each.name}..."
    by_name = "*" if each.kind is each.KEYWORD_ONLY else ""
    return f"{by_name}{each.name}{'' if each.default is each.empty else '='}"


def _required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


if __name__ == "__main__":
    print(json.dumps(describe(), indent=1, ensure_ascii=False))
