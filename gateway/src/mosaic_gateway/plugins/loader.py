"""Entry points in, registered plugins with validated settings out."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import ModuleType
from typing import Any

import pluggy
from pydantic import BaseModel

from mosaic_gateway.config import NoSettings, bind
from mosaic_gateway.plugins.metadata import HOOKSPECS, Offer, installed
from mosaic_gateway.plugins.watch import doing, watched
from mosaic_hookspecs import PROJECT, specs
from mosaic_hookspecs.errors import ConfigError, Fault

#: Plugins that this project publishes as ``mosaic-…``. To install another by a name that was guessed or misspelt
#: may be to run a stranger's code.
OURS = frozenset({
    "audit", "audit_syslog", "embed_minilm", "embedded_ca", "federation", "mcp", "postgres", "step_ca", "tables",
    "tier_federated", "tier_local", "tier_standalone", "valkey", "workspace",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loaded:
    """One plugin the config names."""

    name: str
    distribution: str
    version: str
    module: ModuleType
    settings: BaseModel | None
    warnings: Sequence[str] = ()  # hooks and arguments it uses that a coming release drops


@dataclass(frozen=True, slots=True)
class Registry:
    """The plugins of this gateway, in the order of its config."""

    manager: pluggy.PluginManager
    plugins: Sequence[Loaded]


def settings_models() -> dict[str, type[BaseModel]]:
    """The settings model of every installed plugin. Imports them all: only for who asks for all.

    Raises :class:`ConfigError` for a plugin that does not load.
    """
    manager, offers = _manager(), installed()
    return watched(lambda: {name: _import(manager, offers, name).model for name in sorted(offers)})


def load(tables: Mapping[str, Mapping[str, Any]]) -> tuple[Registry, list[Fault]]:
    """Import and register the named plugins and bind their tables.

    Returns what could be loaded and every fault found on the way, so that all are reported together.
    """
    manager, offers = _manager(), installed()
    plugins: list[Loaded] = []
    faults: list[Fault] = []

    def load_all() -> None:
        for name, table in tables.items():
            try:
                imported = _import(manager, offers, name)
            except ConfigError as error:
                faults.append(Fault(f"plugins.{name}", f"{error.detail}: {error.remedy}"))
                continue
            settings, found = bind(imported.model, table, prefix=f"plugins.{name}")
            faults.extend(found)
            offer = offers[name]
            plugins.append(
                Loaded(name, offer.distribution, offer.version, imported.module, settings, imported.warnings)
            )

    watched(load_all)
    return Registry(manager, tuple(plugins)), faults


@dataclass(frozen=True, slots=True)
class _Imported:
    module: ModuleType
    model: type[BaseModel]
    warnings: Sequence[str]


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(specs)
    return manager


def _import(manager: pluggy.PluginManager, offers: Mapping[str, Offer], name: str) -> _Imported:
    if name not in offers:
        raise _not_installed(name, offers)
    offers[name].refuse_unfit()
    doing(f"plugin {name!r}: its import")
    try:
        module = importlib.import_module(offers[name].module)
        with warnings.catch_warnings(record=True) as retired:
            warnings.simplefilter("always")
            manager.register(module, name)
        manager.check_pending()
        doing(f"plugin {name!r}: mosaic_settings")
        model = module.mosaic_settings() if hasattr(module, "mosaic_settings") else None
        return _Imported(module, _fit(model), [str(each.message) for each in retired])
    except (Exception, SystemExit) as error:
        if manager.has_plugin(name):
            manager.unregister(name=name)
        raise ConfigError(
            f"plugin {name!r} does not load ({type(error).__name__}: {error})", remedy=_remedy(error)
        ) from error
    finally:
        doing("")


def _not_installed(name: str, offers: Mapping[str, Offer]) -> ConfigError:
    said = f"plugin {name!r} is not installed"
    if name in OURS:
        return ConfigError(said, remedy=f"pip install mosaic-{name.replace('_', '-')}")
    if close := get_close_matches(name, {*offers, *OURS}, n=1):
        return ConfigError(said, remedy=f"did you mean {close[0]!r}?")
    return ConfigError(said, remedy="install the distribution that has it, or take it out of the config")


def _fit(model: Any) -> type[BaseModel]:
    """The model of a plugin's table. Raises :class:`TypeError` for one that would let mistakes pass."""
    if model is None:
        return NoSettings
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError("mosaic_settings returned no pydantic model")
    if not model.model_config.get("frozen") or model.model_config.get("extra") != "forbid":
        raise TypeError(f"its settings {model.__name__} are not frozen, or do not forbid unknown keys")
    return model


def _remedy(error: BaseException) -> str:
    if isinstance(error, pluggy.PluginValidationError):  # a hook or an argument that these hooks do not have
        return (
            f"it was built for another {HOOKSPECS}: upgrade whichever of the two is older, "
            "or take it out of the config"
        )
    return "upgrade or reinstall it, or take it out of the config"
