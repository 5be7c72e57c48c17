"""Config in, composition out: which tier, which plugins, what they offer. No socket, no query, no file written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar, cast

from mosaic_gateway.addresses import refuse_shared
from mosaic_gateway.bound import bind_all, invalid
from mosaic_gateway.config import Config, Source
from mosaic_gateway.host import GatewayHost, PluginHost
from mosaic_gateway.plugins import (
    CHOSEN,
    Registry,
    each,
    each_item,
    refuse_lacking,
    watched,
)
from mosaic_hookspecs.errors import ConfigError, Fault
from mosaic_hookspecs.protocols import (
    Cache,
    CertificateAuthority,
    Discovery,
    Embedder,
    Limiter,
    PeerPolicy,
    Queue,
    Storage,
)
from mosaic_hookspecs.sources import Sources
from mosaic_hookspecs.types import Job, Listener, MigrationSet, Mount, Probe, Resource, SealedColumn, Tier
from mosaic_migrations import CORE

T = TypeVar("T")


class Owned(NamedTuple):
    """A probe, and whose it is."""

    plugin: str
    probe: Probe


@dataclass(frozen=True)
class Composition:
    """Everything decided before anything is started."""

    source: Source
    config: Config
    registry: Registry
    tier: Tier
    host: GatewayHost
    storage: Storage
    queue: Queue
    cache: Cache
    limiter: Limiter
    migrations: Sequence[MigrationSet]
    resources: Sequence[Resource]  # that plugins know beforehand; others are found in the database
    probes: Sequence[Owned]
    sealed_columns: Sequence[SealedColumn]

    def view(self, plugin: str) -> PluginHost:
        """The host as that plugin sees it."""
        return PluginHost(self.host, plugin)

    @cached_property
    def listeners(self) -> Sequence[Listener]:
        """Sockets to serve, "public" first. Only for serving: a command need not import what serves.

        Raises :class:`ConfigError` for two at one address.
        """
        config = self.config.listen.public
        own = [Listener("public", config.host, config.port)]
        if bound := self.config.metrics.address:
            own.append(Listener("metrics", *bound, http2=False))
        offered = [*(("gateway", each) for each in own), *self._items("mosaic_listeners")]
        listeners = _unique("listener", offered, lambda x: x.name)
        refuse_shared(self.source, offered)
        return listeners

    @cached_property
    def mounts(self) -> Sequence[Mount]:
        """Blueprints of plugins. Raises :class:`ConfigError` for one on an unknown listener."""
        mounts = self._items("mosaic_routes")
        names = [listener.name for listener in self.listeners]
        for plugin, mount in mounts:
            if mount.listener not in names:
                raise ConfigError(
                    f"plugin {plugin!r} mounts routes on unknown listener {mount.listener!r}; "
                    f"there are: {', '.join(names)}",
                    remedy=f"add the plugin that offers it to the config, or take {plugin!r} out",
                )
        return [mount for _, mount in mounts]

    @cached_property
    def discoveries(self) -> Sequence[tuple[str, Discovery]]:
        """What finds resources once the database is open, with whose it is."""
        return self._items("mosaic_discoveries")

    @cached_property
    def sources(self) -> Sequence[Sources]:
        """Places with rows beside the gateway's own. Only once the lifespans are up."""
        local: tuple[str, Any] = ("gateway", None)
        offered = [local, *self._items("mosaic_sources")]
        return _unique("kind of source", offered, lambda each: each.kind if each else "local")[1:]

    @property
    def services(self) -> Sequence[Queue | Cache | Limiter]:
        """What is opened after the database and before the lifespans."""
        return (self.queue, self.cache, self.limiter)

    @cached_property
    def jobs(self) -> Sequence[Job]:
        """Background work of plugins. Only once the lifespans are up."""
        return _unique("job", self._items("mosaic_jobs"), lambda j: j.name)

    @property
    def lifespans(self) -> Sequence[tuple[str, AbstractAsyncContextManager[None]]]:
        """What plugins keep running, in the order of the config: new ones each time."""
        return watched(lambda: each(self.registry, "mosaic_lifespan", host_for=self.view))

    def _items(self, hook: str) -> list[tuple[str, Any]]:
        return watched(lambda: each_item(self.registry, hook, host_for=self.view))


@dataclass(frozen=True)
class Stored:
    """What reaches a gateway's rows. A command that only moves them need not import what serves them."""

    config: Config
    registry: Registry
    tier: Tier
    storage: Storage
    migrations: Sequence[MigrationSet]


def compose_storage(source: Source) -> Stored:
    """Bind and load, and compose this much. Raises :class:`ConfigError`."""

    def work() -> Stored:
        config, registry, tier = bind_all(source)
        host = GatewayHost.for_config(config, tier, registry, source.path.parent)
        return Stored(config, registry, tier, _storage(host, registry), _migrations(host, registry))

    return watched(work)


def compose(source: Source) -> Composition:
    """Bind, load and compose. Raises one :class:`ConfigError` that lists every fault found."""
    return watched(lambda: _compose(source))


def _compose(source: Source) -> Composition:
    config, registry, tier = bind_all(source)
    host = GatewayHost.for_config(config, tier, registry, source.path.parent)
    errors: list[ConfigError] = []

    def items(hook: str) -> list[tuple[str, Any]]:
        return list(each_item(registry, hook, host_for=lambda name: PluginHost(host, name)))

    def attempt(work: Callable[[], T]) -> T:
        try:
            return work()
        except ConfigError as error:
            errors.append(error)
            return cast(T, None)  # never seen: the errors are raised before anything is used

    attempt(lambda: _pick("tier", tier.name, each_item(registry, "mosaic_tiers"), lambda t: t.name))
    host.authorities = attempt(lambda: _authorities(tier, items("mosaic_authorities"))) or ()
    host.sinks = attempt(lambda: [sink for _, sink in items("mosaic_audit_sinks")]) or ()
    host.policies = attempt(lambda: _policies(items("mosaic_peer_policies"))) or ()
    host.resources = attempt(lambda: _unique("resource", items("mosaic_resources"), lambda r: r.name)) or ()
    host.embedder = attempt(lambda: _embedder(host, items("mosaic_embedders")))
    storage = attempt(lambda: _storage(host, registry))
    queue = host.queue = attempt(
        lambda: _pick("queue", host.queue_target.type, items("mosaic_queues"), lambda q: q.name)
    )
    cache = host.cache = attempt(lambda: _pick("cache", tier.cache, items("mosaic_caches"), lambda c: c.name))
    limiter = host.limiter = attempt(
        lambda: _pick("limiter", tier.limiter, items("mosaic_limiters"), lambda x: x.name)
    )
    migrations = attempt(lambda: _migrations(host, registry))
    probes = attempt(lambda: _probes(items("mosaic_probes")))
    sealed = attempt(
        lambda: _unique("sealed column", items("mosaic_sealed_columns"), lambda c: f"{c.table}.{c.column}")
    )
    _raise_all(source, errors)
    return Composition(
        source=source,
        config=config,
        registry=registry,
        tier=tier,
        host=host,
        storage=storage,
        queue=queue,
        cache=cache,
        limiter=limiter,
        migrations=migrations,
        resources=host.resources,
        probes=probes,
        sealed_columns=sealed,
    )


def _storage(host: GatewayHost, registry: Registry) -> Storage:
    offers = each_item(registry, "mosaic_storages", host_for=lambda name: PluginHost(host, name))
    storage: Storage = _pick("storage", host.storage_target.type, offers, lambda s: s.name)
    return storage


def _migrations(host: GatewayHost, registry: Registry) -> list[MigrationSet]:
    offers = each_item(registry, "mosaic_migrations", host_for=lambda name: PluginHost(host, name))
    vector = host.storage_target.enable_vector
    return [each for each in (CORE, *(s for _, s in offers)) if vector or not each.needs_vector]


def _authorities(tier: Tier, offers: list[tuple[str, Any]]) -> list[CertificateAuthority]:
    authorities = _unique("authority", offers, lambda a: a.name)
    if len(authorities) > 1:
        offered = ", ".join(authority.name for authority in authorities)
        raise ConfigError(f"more than one certificate authority: {offered}", remedy="keep one in the config")
    if tier.needs_authority and not authorities:
        raise ConfigError(
            f"the tier {tier.name!r} needs a certificate authority, and no plugin of this config offers one",
            remedy="add plugins.step_ca to the config, or another that offers one; "
            "embedded_ca is for the other tiers only",
        )
    return authorities


def _policies(offers: list[tuple[str, PeerPolicy]]) -> list[tuple[str, PeerPolicy]]:
    _unique("peer policy", offers, lambda policy: policy.name)
    return offers


def _embedder(host: GatewayHost, offers: list[tuple[str, Embedder]]) -> Embedder | None:
    embedders = _unique("embedder", offers, lambda each: each.name)
    if len(embedders) > 1:
        offered = ", ".join(embedder.name for embedder in embedders)
        raise ConfigError(f"more than one embedder: {offered}", remedy="keep one in the config")
    if embedders and not host.storage_target.enable_vector:
        raise ConfigError(
            f"the embedder {embedders[0].name!r} has nowhere to keep its vectors: storage.enable_vector is off",
            remedy="set storage.enable_vector to true, or take the plugin out of the config",
        )
    return embedders[0] if embedders else None


def _probes(offers: list[tuple[str, Probe]]) -> list[Owned]:
    _unique("probe", offers, lambda probe: probe.name)
    return [Owned(plugin, probe) for plugin, probe in offers]


def _raise_all(source: Source, errors: Sequence[ConfigError]) -> None:
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise invalid(
            source, [Fault("", f"{e.detail} ({e.remedy})" if e.remedy else e.detail) for e in errors]
        )


def _pick(what: str, name: str, offers: Iterable[tuple[str, T]], key: Callable[[T], str]) -> T:
    offers = list(offers)
    found = [(plugin, offer) for plugin, offer in offers if key(offer) == name]
    if len(found) > 1:
        plugins = ", ".join(plugin for plugin, _ in found)
        raise ConfigError(
            f"plugins {plugins} all offer {what} {name!r}",
            remedy="name exactly one such plugin in the config",
        )
    if not found:
        there = ", ".join(repr(key(offer)) for _, offer in offers)
        raise ConfigError(
            f"no plugin offers {what} {name!r}" + (f"; offered: {there}" if there else ""),
            remedy=f"add a plugin that does to the config, or choose another {what}",
        )
    plugin, offer = found[0]
    if what in CHOSEN:
        refuse_lacking(plugin, f"{what} {name!r}", offer, CHOSEN[what])
    return offer


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
