"""What plugins are given: the host's services, seen through one plugin's eyes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar
from weakref import WeakKeyDictionary

from mosaic_gateway.config import queue_target, storage_target
from mosaic_gateway.metrics.counts import Counts
from mosaic_gateway.plugins import Registry, broadcast, consult
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.protocols import (
    AuditLog,
    AuditSink,
    Cache,
    CertificateAuthority,
    Database,
    Embedder,
    Host,
    Identity,
    Limiter,
    PeerPolicy,
    Queue,
    Rows,
    S,
    Sealer,
    ServedListener,
)
from mosaic_hookspecs.sources import Everywhere
from mosaic_hookspecs.types import (
    AuditEvent,
    PeerRequest,
    QueueTarget,
    Resource,
    StorageTarget,
    Tier,
    Verdict,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

    from mosaic_gateway.config import Config

T = TypeVar("T")

_PATIENCE = 5.0  # seconds for a plugin to hear a notification


@dataclass(slots=True)
class GatewayHost:
    """Filled in two steps: what composing finds, then what starting brings up."""

    gateway_name: str
    tier: Tier
    data_dir: Path
    public_url: str
    storage_target: StorageTarget
    queue_target: QueueTarget
    settings: dict[str, BaseModel | None]
    authorities: Sequence[CertificateAuthority] = ()
    sinks: Sequence[AuditSink] = ()
    policies: Sequence[tuple[str, PeerPolicy]] = ()  # with whose they are
    registry: Registry | None = None
    resources: Sequence[Resource] = ()
    embedder: Embedder | None = None
    queue: Queue | None = None
    cache: Cache | None = None
    limiter: Limiter | None = None
    database: Database | None = None
    sealer: Sealer | None = None
    rows: Rows | None = None
    sources: Callable[[], Everywhere] | None = None  # asks plugins for theirs, so not before it is needed
    identity: Identity | None = None
    metrics: Counts = field(default_factory=Counts)
    listeners: dict[str, ServedListener] = field(default_factory=dict)  # while they are served

    @classmethod
    def for_config(cls, config: Config, tier: Tier, registry: Registry, root: Path) -> GatewayHost:
        """A host with nothing up yet."""
        public = config.listen.public
        address = f"[{public.host}]" if ":" in public.host else public.host
        return cls(
            gateway_name=config.name,
            tier=tier,
            data_dir=config.data_dir,
            public_url=config.public_url or f"http://{address}:{public.port}",
            storage_target=storage_target(config, tier, root),
            queue_target=queue_target(config, tier, root),
            settings={plugin.name: plugin.settings for plugin in registry.plugins},
            registry=registry,
        )


def _up(service: T | None, name: str) -> T:
    if service is None:
        raise ConfigError(
            f"host.{name} was used before the gateway was up", remedy="use it from the lifespan on"
        )
    return service


@dataclass(frozen=True, slots=True)
class _AllSinks:
    """Every sink must have the event: no audit, no answer."""

    sinks: Sequence[AuditSink] = field(default=())

    async def record(self, event: AuditEvent) -> None:
        for sink in self.sinks:
            await sink.record(event)


class _Lacking(ConfigError, AttributeError):
    """The host has no such thing; ``hasattr`` still works."""


class PluginHost(Host):
    """Implements :class:`mosaic_hookspecs.protocols.Host`: public services, and this plugin's own settings."""

    def __init__(self, host: GatewayHost, plugin: str) -> None:
        _BEHIND[self] = host, plugin
        self.gateway_name = host.gateway_name
        self.metrics = host.metrics
        self.tier = host.tier
        self.data_dir = host.data_dir
        self.public_url = host.public_url
        self.storage_target = host.storage_target
        self.queue_target = host.queue_target

    @property
    def database(self) -> Database:  # type: ignore[override]  # read-only on purpose
        return _up(_gateway(self).database, "database")

    @property
    def sealer(self) -> Sealer:  # type: ignore[override]
        return _up(_gateway(self).sealer, "sealer")

    @property
    def rows(self) -> Rows:  # type: ignore[override]
        return _up(_gateway(self).rows, "rows")

    @property
    def sources(self) -> Everywhere:  # type: ignore[override]
        return _up(_gateway(self).sources, "sources")()

    @property
    def identity(self) -> Identity:  # type: ignore[override]
        return _up(_gateway(self).identity, "identity")

    def __getattr__(self, name: str) -> NoReturn:
        """Say it in words, also to a plugin that asks a host of today for what one of tomorrow has."""
        raise _Lacking(
            f"plugin {_BEHIND[self][1]!r} asked for host.{name}, which this gateway does not have",
            remedy="upgrade mosaic-gateway if the plugin was built for a newer one; else report it to its author",
        )

    def settings(self, model: type[S]) -> S:
        """The calling plugin's own settings."""
        host, plugin = _BEHIND[self]
        settings = host.settings.get(plugin)
        if not isinstance(settings, model):
            raise ConfigError(f"plugin {plugin!r} asked for settings of type {model.__name__}, not its own")
        return settings

    def authority(self) -> CertificateAuthority:
        """The configured authority."""
        if not _gateway(self).authorities:
            raise ConfigError(
                "no certificate authority is configured", remedy="add plugins.embedded_ca to the config"
            )
        return _gateway(self).authorities[0]

    def queue(self) -> Queue:
        return _up(_gateway(self).queue, "queue()")

    def cache(self) -> Cache:
        return _up(_gateway(self).cache, "cache()")

    def limiter(self) -> Limiter:
        return _up(_gateway(self).limiter, "limiter()")

    def audit(self) -> AuditSink:
        """All sinks as one."""
        if not _gateway(self).sinks:
            raise ConfigError("no audit sink is configured", remedy="add plugins.audit to the config")
        return _AllSinks(tuple(_gateway(self).sinks))

    def audit_log(self) -> AuditLog:
        """The first sink that can be read back."""
        for sink in _gateway(self).sinks:
            if isinstance(sink, AuditLog):
                return sink
        raise ConfigError(
            "no audit log that can be read is configured", remedy="add plugins.audit to the config"
        )

    def listener(self, name: str) -> ServedListener | None:
        """While this process serves it."""
        return _gateway(self).listeners.get(name)

    async def consult(self, request: PeerRequest, *, patience: float) -> Verdict:
        """What the policies of all plugins say."""
        return await consult(_gateway(self).policies, request, patience=patience)

    async def notify(self, hook: str, **facts: object) -> None:
        """Tell all plugins that implement ``hook``."""
        host = _gateway(self)
        registry = host.registry
        if registry is not None:
            await broadcast(
                registry, hook, host_for=lambda name: PluginHost(host, name), patience=_PATIENCE, **facts
            )


#: What is behind each host, out of reach of its attributes: other plugins' settings, for one.
_BEHIND: WeakKeyDictionary[PluginHost, tuple[GatewayHost, str]] = WeakKeyDictionary()


def _gateway(host: PluginHost) -> GatewayHost:
    return _BEHIND[host][0]
