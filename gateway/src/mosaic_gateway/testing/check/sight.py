"""What can be said of a plugin without a gateway: its metadata, its settings, its hooks."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, SecretBytes, SecretStr

from mosaic_gateway.plugins import Loaded, Offer, installed, load
from mosaic_gateway.testing.check.checked import Checked, Outcome
from mosaic_hookspecs import specs
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.scope import like_credentials

LOADS = "it loads alone"


def at_sight(plugin: str, table: Mapping[str, Any]) -> Iterator[Checked]:
    """Every rule with its outcome; those after the loading only of what loads."""

    def say(rule: str, problem: str, outcome: Outcome = "failed") -> Checked:
        return Checked(plugin, "plugin", "", rule, outcome if problem else "passed", problem)

    offer = installed()[plugin]
    yield say("its names agree", _names(offer))
    yield say("it names the releases of mosaic-hookspecs it was built for", _range(offer))
    registry, faults = load({plugin: table})
    words = "; ".join(map(str, faults))
    needs_settings = bool(registry.plugins) and not table
    yield say(LOADS, words, "not run" if needs_settings else "failed")
    for loaded in registry.plugins:
        yield say("its settings mark what is secret", _settings(loaded))
        yield say("its hooks are as they are specified", _hooks(loaded))


def _names(offer: Offer) -> str:
    package = offer.module.partition(".")[0]
    if not offer.name.isidentifier() or not offer.name.islower():
        return f"the entry point {offer.name!r} cannot be a table plugins.{offer.name} of a config"
    if package not in (offer.name, f"mosaic_{offer.name}"):
        return f"the entry point {offer.name!r} leads to the package {package!r}: call it mosaic_{offer.name}"
    return ""


def _range(offer: Offer) -> str:
    try:
        offer.refuse_unfit()
        wanted = offer.built_for
    except ConfigError as error:
        return error.detail
    if not any(sign in wanted for sign in ("<", "~=", "==")) or not any(s in wanted for s in (">", "=")):
        return f"it requires mosaic-hookspecs{wanted}: give both ends, as in mosaic-hookspecs>=0.1,<0.2"
    return ""


def _settings(loaded: Loaded) -> str:
    model = type(loaded.settings) if loaded.settings else None
    shown = [f"plugins.{loaded.name}.{path}" for path in _unmarked(model)] if model else []
    return f"{', '.join(shown)}: type a secret as SecretStr, or take the path of its file" if shown else ""


def _unmarked(model: type[BaseModel]) -> Iterator[str]:
    """Fields whose name tells of credentials, and whose text would be shown."""
    for name, field in model.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))
        if like_credentials(name) and str in kinds and not {SecretStr, SecretBytes} & set(kinds):
            yield name
        for kind in kinds:
            if inspect.isclass(kind) and issubclass(kind, BaseModel):
                yield from (f"{name}.{inner}" for inner in _unmarked(kind))


def _hooks(loaded: Loaded) -> str:
    """What pluggy does not look at: whether a hook is awaited, and whether it is documented as going away."""
    wrong = [
        f"{name} is {'async' if _waits(function) else 'not async'}"
        for name, function in vars(loaded.module).items()
        if hasattr(function, "mosaic_impl") and _waits(function) != _waits(getattr(specs, name))
    ]
    return "; ".join([*wrong, *loaded.warnings])


def _waits(function: Any) -> bool:
    return inspect.iscoroutinefunction(function)
