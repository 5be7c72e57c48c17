"""Bind plain data to a settings model, turning every fault into a dotted path and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from mosaic_hookspecs.errors import Fault

M = TypeVar("M", bound=BaseModel)


def bind(model: type[M], data: Mapping[str, Any], *, prefix: str = "") -> tuple[M | None, list[Fault]]:
    """Return the bound model, or None and all that is wrong. Given values are never repeated: some are secret."""
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        return None, faults_of(error, model, prefix)


def faults_of(error: ValidationError, model: type[BaseModel], prefix: str = "") -> list[Fault]:
    """Every fault of a pydantic error, at its dotted path, with the nearest known key for an unknown one."""
    faults = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        path = ".".join(filter(None, [prefix, *map(str, item["loc"])]))
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "unknown key" + _nearest(str(item["loc"][-1]), _known_keys(model, item["loc"][:-1]))
        faults.append(Fault(path, message[0].lower() + message[1:]))
    return faults


def _nearest(key: str, known: list[str]) -> str:
    if close := get_close_matches(key, known, n=1):
        return f"; did you mean {close[0]!r}?"
    return f"; known here: {', '.join(known)}" if known else ""


def _known_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for step in path:
        field = model.model_fields.get(str(step))
        annotation = field.annotation if field else None
        nested = [t for t in (annotation, *get_args(annotation)) if isinstance(t, type)]
        models = [t for t in nested if issubclass(t, BaseModel)]
        if not models:
            return []
        model = models[0]
    return list(model.model_fields)
