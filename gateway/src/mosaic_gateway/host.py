"""What plugins are given: the host's services, seen through one plugin's eyes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mosaic_gateway.config import queue_target, storage_target
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
    identity: Identity | None = None
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


class PluginHost(Host):
    """Implements :class:`mosaic_hookspecs.protocols.Host`: public services, and this plugin's own settings."""

    def __init__(self, host: GatewayHost, plugin: str) -> None:
        self._host = host
        self._plugin = plugin
        self.gateway_name = host.gateway_name
        self.tier = host.tier
        self.data_dir = host.data_dir
        self.public_url = host.public_url
        self.storage_target = host.storage_target
        self.queue_target = host.queue_target

    @property
    def database(self) -> Database:  # type: ignore[override]  # read-only on purpose
        return _up(self._host.database, "database")

    @property
    def sealer(self) -> Sealer:  # type: ignore[override]
        return _up(self._host.sealer, "sealer")

    @property
    def rows(self) -> Rows:  # type: ignore[override]
        return _up(self._host.rows, "rows")

    @property
    def identity(self) -> Identity:  # type: ignore[override]
        return _up(self._host.identity, "identity")

    def settings(self, model: type[S]) -> S:
        """The calling plugin's own settings."""
        settings = self._host.settings.get(self._plugin)
        if not isinstance(settings, model):
            raise ConfigError(
                f"plugin {self._plugin!r} asked for settings of type {model.__name__}, not its own"
            )
        return settings

    def authority(self) -> CertificateAuthority:
        """The configured authority."""
        if not self._host.authorities:
            raise ConfigError(
                "no certificate authority is configured", remedy="add plugins.embedded_ca to the config"
            )
        return self._host.authorities[0]

    def queue(self) -> Queue:
        return _up(self._host.queue, "queue()")

    def cache(self) -> Cache:
        return _up(self._host.cache, "cache()")

    def limiter(self) -> Limiter:
        return _up(self._host.limiter, "limiter()")

    def audit(self) -> AuditSink:
        """All sinks as one."""
        if not self._host.sinks:
            raise ConfigError("no audit sink is configured", remedy="add plugins.audit to the config")
        return _AllSinks(tuple(self._host.sinks))

    def audit_log(self) -> AuditLog:
        """The first sink that can be read back."""
        for sink in self._host.sinks:
            if isinstance(sink, AuditLog):
                return sink
        raise ConfigError(
            "no audit log that can be read is configured", remedy="add plugins.audit to the config"
        )

    def listener(self, name: str) -> ServedListener | None:
        """While this process serves it."""
        return self._host.listeners.get(name)

    async def consult(self, request: PeerRequest, *, patience: float) -> Verdict:
        """What the policies of all plugins say."""
        return await consult(self._host.policies, request, patience=patience)

    async def notify(self, hook: str, **facts: object) -> None:
        """Tell all plugins that implement ``hook``."""
        host, registry = self._host, self._host.registry
        if registry is not None:
            await broadcast(
                registry, hook, host_for=lambda name: PluginHost(host, name), patience=_PATIENCE, **facts
            )
