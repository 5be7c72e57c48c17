"""A config bound to its models, with the plugins it names loaded: all that is wrong is found at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mosaic_gateway.config import Config, Source, bind, read_variables, tier_faults, tier_name
from mosaic_gateway.host import GatewayHost, PluginHost
from mosaic_gateway.plugins import Loaded, Registry, each_item, installed, load, watched
from mosaic_hookspecs.errors import ConfigError, Fault
from mosaic_hookspecs.types import Tier


@dataclass(frozen=True, slots=True)
class Bound:
    """What could be bound and loaded, and every fault."""

    named: Sequence[str]  # plugins of the tier, then those of the config
    registry: Registry
    host: GatewayHost | None  # None if the config cannot be bound
    faults: Sequence[Fault]

    def items_of(self, plugin: Loaded, hook: str) -> list[Any]:
        """What this one plugin offers. Raises :class:`ConfigError` naming it."""
        host = self.host
        if host is None:
            return []
        alone = Registry(self.registry.manager, (plugin,))
        found = watched(lambda: each_item(alone, hook, host_for=lambda name: PluginHost(host, name)))
        return [item for _, item in found]


def bound(source: Source) -> Bound:
    """Bind and load, whatever is wrong."""
    config, tier, registry, faults, named = _bind(source)
    host = GatewayHost.for_config(config, tier, registry, source.path.parent) if config and tier else None
    return Bound(named, registry, host, faults)


def bind_all(source: Source) -> tuple[Config, Registry, Tier]:
    """Bind and load. Raises one :class:`ConfigError` that lists every fault."""
    config, tier, registry, faults, _ = _bind(source)
    if config is None or tier is None or faults:
        raise invalid(source, faults)
    data_dir = (source.path.parent / config.data_dir.expanduser()).resolve()
    return config.model_copy(update={"tier": tier.name, "data_dir": data_dir}), registry, tier


def invalid(source: Source, faults: Iterable[Fault]) -> ConfigError:
    """The error that lists faults of a config, with the variable where that is what sets the key."""
    named = [_with_variables(source, fault) for fault in faults]
    return ConfigError(
        f"{source.path}: the configuration is not valid", faults=named, remedy="mend the keys above"
    )


def _with_variables(source: Source, fault: Fault) -> Fault:
    names = read_variables(source, fault.where) if fault.where else []
    return replace(fault, where=f"{fault.where} ({', '.join(names)})") if names else fault


def _bind(source: Source) -> tuple[Config | None, Tier | None, Registry, list[Fault], Sequence[str]]:
    """Bind the host's part and every plugin's table, so that all faults come in one message."""
    config, faults = bind(Config, source.data)
    tables = source.data.get("plugins")
    tables = {k: v for k, v in tables.items() if isinstance(v, dict)} if isinstance(tables, dict) else {}
    tier = None
    needed: tuple[str, ...] = ()
    if isinstance(name := source.data.get("tier"), str):
        tier, more = find_tier(tier_name(name))
        needed = tuple(fault.where.removeprefix("plugins.") for fault in more if fault.where != "tier")
        faults += more
    if tier:
        needed = (f"tier_{tier.name}", *tier.needs)
        tables = {plugin: tables.get(plugin, {}) for plugin in needed} | tables
        faults += tier_faults(config, tier) if config else []
    registry, more = load(tables)
    named = tuple(dict.fromkeys((*needed, *tables)))
    return config, tier, registry, list(dict.fromkeys([*faults, *more])), named


def find_tier(name: str) -> tuple[Tier | None, list[Fault]]:
    """The tier that the plugin ``tier_<name>`` declares: it says which plugins come with it."""
    own = f"tier_{name}"
    points = installed()
    if own not in points:
        known = sorted(point.removeprefix("tier_") for point in points if point.startswith("tier_"))
        there = (
            f"known: {', '.join(known)}" if known else "no tier is installed: pip install mosaic-tier-local"
        )
        return None, [Fault("tier", f"no installed plugin offers {name!r}; {there}")]
    registry, faults = load({own: {}})
    try:
        tiers = [tier for _, tier in each_item(registry, "mosaic_tiers") if tier.name == name]
    except ConfigError as error:
        return None, [Fault(f"plugins.{own}", f"{error.detail}: {error.remedy}")]
    if not tiers and not faults:
        return None, [Fault("tier", f"plugin {own!r} offers no tier {name!r}")]
    return (tiers[0], []) if tiers else (None, faults)
