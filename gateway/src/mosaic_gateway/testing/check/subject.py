"""The plugin that is being checked, on a throw-away gateway of the embedded tier."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from mosaic_gateway.host import PluginHost
from mosaic_gateway.plugins import Registry, each_item
from mosaic_gateway.testing.ports import free_port
from mosaic_gateway.testing.prepared import new_folder, prepare
from mosaic_hookspecs.errors import MosaicError

if TYPE_CHECKING:
    from mosaic_gateway.compose import Composition
    from mosaic_gateway.host import GatewayHost
    from mosaic_hookspecs.types import QueueTarget, StorageTarget

#: The hooks whose answers have a suite.
SUITES = (
    "mosaic_storages",
    "mosaic_queues",
    "mosaic_caches",
    "mosaic_limiters",
    "mosaic_resources",
    "mosaic_probes",
    "mosaic_authorities",
    "mosaic_audit_sinks",
    "mosaic_peer_policies",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the author says of the services that the plugin needs. The database is always a throw-away one."""

    plugins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    queue: QueueTarget | None = None
    storage: StorageTarget | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """One plugin, composed with whatever else the settings name."""

    plugin: str
    composition: Composition
    settings: Settings
    secrets: Sequence[str] = field(repr=False)

    def offered(self, hook: str) -> list[str]:
        """What the plugin answers a hook with, by name; a class's name where there is none."""
        return [_name(item) for item in self.answers(hook, self.composition.host)]

    def fresh(self, hook: str, name: str, **facts: Any) -> Any:
        """One more object, as another process would have it: for a host with these facts of its own."""
        host = replace(self.composition.host, **facts)
        return next(item for item in self.answers(hook, host) if _name(item) == name)

    def apart(self, **facts: Any) -> dict[str, Any]:
        """Facts of a host that shares nothing with those before it, in services that many share."""
        queue = self.settings.queue or self.composition.host.queue_target
        return {"gateway_name": f"check-{uuid4().hex[:12]}", "queue_target": queue} | facts

    def answers(self, hook: str, host: GatewayHost) -> list[Any]:
        """Ask this plugin alone. Raises :class:`ConfigError`."""
        loaded = [each for each in self.composition.registry.plugins if each.name == self.plugin]
        alone = Registry(self.composition.registry.manager, loaded)
        return [item for _, item in each_item(alone, hook, host_for=lambda name: PluginHost(host, name))]


@contextmanager
def subject(plugin: str, settings: Settings) -> Iterator[Subject]:
    """Compose it in a folder of its own, which is removed at the end. Raises :class:`ConfigError`."""
    from mosaic_gateway.compose import compose
    from mosaic_gateway.config import Source

    folder = new_folder()
    try:
        listen = {"public": {"port": free_port()}}
        path = prepare(folder / "gateway", {"name": "check", "listen": listen})
        # Not read with the environment laid over it, which may name a real database; and no secret is written to it.
        data = json.loads(path.read_text()) | {"plugins": {plugin: {}, **settings.plugins}}
        if settings.storage and settings.storage.enable_vector:  # and no other part: it may name a real one
            data["storage"] = {"enable_vector": True}
        composition = compose(Source(path, data))
        yield Subject(plugin, composition, settings, _secrets(settings, composition))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def missing(error: MosaicError) -> str:
    """Why something cannot be run, in one line."""
    faults = "; ".join(map(str, error.faults))
    return " → ".join(filter(None, (error.detail, faults, error.remedy)))


def _name(item: Any) -> str:
    return str(getattr(item, "name", type(item).__name__))


def _secrets(settings: Settings, composition: Composition) -> list[str]:
    from pydantic import SecretStr

    found = [
        value.get_secret_value()
        for loaded in composition.registry.plugins
        for value in (dict(loaded.settings).values() if loaded.settings else ())
        if isinstance(value, SecretStr)
    ]
    targets = [each for each in (settings.queue, settings.storage) if each]
    found += [_password(each.url or "") for each in targets]
    files = [each.password_file for each in targets if each.password_file]
    found += [file.read_text().strip() for file in files if file.is_file()]
    return [secret for secret in found if secret]


def _password(url: str) -> str:
    return url.partition("://")[2].rpartition("@")[0].partition(":")[2]
