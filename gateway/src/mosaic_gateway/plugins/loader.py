"""Entry points in, registered plugins with validated settings out."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

import pluggy
from pydantic import BaseModel

from mosaic_gateway.config import NoSettings, bind
from mosaic_hookspecs import PROJECT, specs
from mosaic_hookspecs.errors import ConfigError, Fault


@dataclass(frozen=True, slots=True)
class Loaded:
    """One plugin the config names."""

    name: str
    distribution: str
    version: str
    module: ModuleType
    settings: BaseModel | None


@dataclass(frozen=True, slots=True)
class Registry:
    """The plugins of this gateway, in the order of its config."""

    manager: pluggy.PluginManager
    plugins: Sequence[Loaded]


def installed() -> dict[str, EntryPoint]:
    """Entry points of group ``mosaic`` by plugin name. Metadata only: nothing is imported."""
    return {point.name: point for point in entry_points(group=PROJECT)}


def settings_models() -> dict[str, type[BaseModel]]:
    """The settings model of every installed plugin. Imports them all: only for who asks for all.

    Raises :class:`ConfigError` for a plugin that does not load.
    """
    manager, points = _manager(), installed()
    return {name: _import(manager, points, name)[1] for name in sorted(points)}


def load(tables: Mapping[str, Mapping[str, Any]]) -> tuple[Registry, list[Fault]]:
    """Import and register the named plugins and bind their tables.

    Returns what could be loaded and every fault found on the way, so that all are reported together.
    """
    manager, points = _manager(), installed()
    plugins: list[Loaded] = []
    faults: list[Fault] = []
    for name, table in tables.items():
        try:
            plugin, found = _load_one(manager, points, name, table)
        except ConfigError as error:
            faults.append(Fault(f"plugins.{name}", f"{error.detail}: {error.remedy}"))
        else:
            faults += found
            plugins.append(plugin)
    return Registry(manager, tuple(plugins)), faults


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(specs)
    return manager


def _load_one(
    manager: pluggy.PluginManager, points: Mapping[str, EntryPoint], name: str, table: Mapping[str, Any]
) -> tuple[Loaded, list[Fault]]:
    module, model = _import(manager, points, name)
    settings, faults = bind(model, table, prefix=f"plugins.{name}")
    dist = points[name].dist
    return (
        Loaded(name, dist.name if dist else "?", dist.version if dist else "?", module, settings),
        faults,
    )


def _import(
    manager: pluggy.PluginManager, points: Mapping[str, EntryPoint], name: str
) -> tuple[ModuleType, type[BaseModel]]:
    if name not in points:
        close = get_close_matches(name, points, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(
            f"plugin {name!r} is not installed{hint}", remedy=f"pip install mosaic-{name.replace('_', '-')}"
        )
    try:
        module = importlib.import_module(points[name].module)
        manager.register(module, name)
        manager.check_pending()
        model = module.mosaic_settings() if hasattr(module, "mosaic_settings") else None
    except Exception as error:
        if manager.has_plugin(name):
            manager.unregister(name=name)
        raise ConfigError(
            f"plugin {name!r} does not load ({type(error).__name__}: {error})",
            remedy="upgrade or reinstall it, or take it out of the config",
        ) from error
    return module, model or NoSettings
