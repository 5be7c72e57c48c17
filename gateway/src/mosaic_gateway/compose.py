"""Config in, composition out: which tier, which plugins, what they offer. No socket, no query, no file written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from mosaic_gateway.config import Config, Source, bind
from mosaic_gateway.host import GatewayHost, PluginHost
from mosaic_gateway.plugins import Registry, each_item, installed, load
from mosaic_hookspecs.errors import ConfigError, Fault
from mosaic_hookspecs.protocols import Storage
from mosaic_hookspecs.types import Listener, MigrationSet, Mount, Probe, Tier
from mosaic_migrations import CORE

T = TypeVar("T")


@dataclass(frozen=True)
class Composition:
    """Everything decided before anything is started."""

    config: Config
    registry: Registry
    tier: Tier
    host: GatewayHost
    storage: Storage
    migrations: Sequence[MigrationSet]
    probes: Sequence[Probe]  # of plugins

    def view(self, plugin: str) -> PluginHost:
        """The host as that plugin sees it."""
        return PluginHost(self.host, plugin)

    @cached_property
    def listeners(self) -> Sequence[Listener]:
        """Sockets to serve, "public" first. Only for serving: a command need not import what serves."""
        config = self.config.listen.public
        public = Listener("public", config.host, config.port)
        offered = each_item(self.registry, "mosaic_listeners", host_for=self.view)
        return _unique("listener", [("gateway", public), *offered], lambda x: x.name)

    @cached_property
    def mounts(self) -> Sequence[Mount]:
        """Blueprints of plugins. Raises :class:`ConfigError` for one on an unknown listener."""
        mounts = list(each_item(self.registry, "mosaic_routes", host_for=self.view))
        names = {listener.name for listener in self.listeners}
        for plugin, mount in mounts:
            if mount.listener not in names:
                raise ConfigError(f"plugin {plugin!r} mounts routes on unknown listener {mount.listener!r}")
        return [mount for _, mount in mounts]


def compose(source: Source) -> Composition:
    """Bind, load and compose. Raises one :class:`ConfigError` that lists every fault found."""
    config, registry = _bind_all(source)
    tier = _pick("tier", config.tier, each_item(registry, "mosaic_tiers"), lambda t: t.name, "tier")
    host = GatewayHost.for_config(config, tier, registry)

    def items(hook: str) -> list[tuple[str, Any]]:
        return list(each_item(registry, hook, host_for=lambda name: PluginHost(host, name)))

    host.authorities = _unique("authority", items("mosaic_authorities"), lambda a: a.name)
    host.sinks = [sink for _, sink in items("mosaic_audit_sinks")]
    host.resources = _unique("resource", items("mosaic_resources"), lambda r: r.name)
    if len(host.authorities) > 1:
        offered = ", ".join(authority.name for authority in host.authorities)
        raise ConfigError(f"more than one certificate authority: {offered}", remedy="keep one in the config")
    return Composition(
        config=config,
        registry=registry,
        tier=tier,
        host=host,
        storage=_pick("storage", tier.storage, items("mosaic_storages"), lambda s: s.name, "tier"),
        migrations=[CORE, *(s for _, s in items("mosaic_migrations"))],
        probes=_unique("probe", items("mosaic_probes"), lambda p: p.name),
    )


def _bind_all(source: Source) -> tuple[Config, Registry]:
    """Bind the host's part and every plugin's table, so that all faults come in one message."""
    data = source.data
    config, faults = bind(Config, data)
    tables = data.get("plugins")
    tables = {k: v for k, v in tables.items() if isinstance(v, dict)} if isinstance(tables, dict) else {}
    if isinstance(tier := data.get("tier"), str):
        own = f"tier_{tier}"
        if own in installed():
            tables = {own: tables.get(own, {}), **tables}
        else:
            known = [name.removeprefix("tier_") for name in installed() if name.startswith("tier_")]
            faults.append(
                Fault("tier", f"no installed plugin offers {tier!r}; known: {', '.join(sorted(known))}")
            )
    registry, more = load(tables)
    if config is None or faults or more:
        raise ConfigError(
            f"{source.path}: the configuration is not valid",
            faults=[*faults, *more],
            remedy="mend the keys above",
        )
    root = source.path.parent
    return config.model_copy(
        update={"data_dir": (root / Path(config.data_dir).expanduser()).resolve()}
    ), registry


def _pick(what: str, name: str, offers: Iterable[tuple[str, T]], key: Callable[[T], str], setting: str) -> T:
    found = [(plugin, offer) for plugin, offer in offers if key(offer) == name]
    if len(found) != 1:
        plugins = ", ".join(plugin for plugin, _ in found)
        detail = (
            f"plugins {plugins} all offer {what} {name!r}" if found else f"no plugin offers {what} {name!r}"
        )
        raise ConfigError(f"{setting}: {detail}", remedy="name exactly one such plugin in the config")
    return found[0][1]


def _unique(what: str, offers: Iterable[tuple[str, T]], key: Callable[[T], str]) -> list[T]:
    owners: dict[str, str] = {}
    items = []
    for plugin, item in offers:
        name = key(item)
        if name in owners:
            raise ConfigError(
                f"{what} {name!r} is offered by both {owners[name]!r} and {plugin!r}",
                remedy=f"take one of them out of the config or rename its {what}",
            )
        owners[name] = plugin
        items.append(item)
    return items
