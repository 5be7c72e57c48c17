"""What the hooks may answer with: an item that is something else is named before anything uses it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from mosaic_hookspecs import protocols, types
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.sources import Sources


class Named(Protocol):
    """What is picked by its name."""

    name: str


#: Hook → what each of its items is: data of a class, or an object with all that a protocol has.
ITEMS: Mapping[str, type] = {
    "mosaic_tiers": types.Tier,
    "mosaic_storages": Named,
    "mosaic_queues": Named,
    "mosaic_caches": Named,
    "mosaic_limiters": Named,
    "mosaic_jobs": types.Job,
    "mosaic_migrations": types.MigrationSet,
    "mosaic_sealed_columns": types.SealedColumn,
    "mosaic_resources": types.Resource,
    "mosaic_discoveries": protocols.Discovery,
    "mosaic_sources": Sources,
    "mosaic_embedders": protocols.Embedder,
    "mosaic_probes": types.Probe,
    "mosaic_listeners": types.Listener,
    "mosaic_routes": types.Mount,
    "mosaic_authorities": protocols.CertificateAuthority,
    "mosaic_audit_sinks": protocols.AuditSink,
    "mosaic_peer_policies": protocols.PeerPolicy,
}

#: Of these only the one is used that the tier or the config names, and only of that one all is asked.
CHOSEN: Mapping[str, type] = {
    "storage": protocols.Storage,
    "queue": protocols.Queue,
    "cache": protocols.Cache,
    "limiter": protocols.Limiter,
}


def checked(plugin: str, hook: str, item: Any) -> Any:
    """Return ``item`` if it is what the hook is for, else raise :class:`ConfigError`."""
    wanted = ITEMS.get(hook)
    if wanted and getattr(wanted, "_is_protocol", False):
        refuse_lacking(plugin, hook, item, wanted)
    elif wanted and not isinstance(item, wanted):
        raise ConfigError(
            f"plugin {plugin!r}: {hook} returned {_kind(item)} where {wanted.__name__} is wanted",
            remedy="report it to the plugin's author, or take the plugin out of the config",
        )
    return item


def refuse_lacking(plugin: str, what: str, item: Any, protocol: type) -> None:
    """Raise :class:`ConfigError` unless the item has all that the protocol has."""
    if lacking := sorted(name for name in members(protocol) if not hasattr(item, name)):
        raise ConfigError(
            f"plugin {plugin!r}: {what}: {_kind(item)} lacks {', '.join(lacking)} of {protocol.__name__}",
            remedy="it was built for another mosaic-hookspecs: upgrade the plugin, or take it out of the config",
        )


def members(protocol: type) -> set[str]:
    """Public names of a protocol, those it inherits included. ``typing`` has it from Python 3.13 on."""
    return {
        name
        for each in protocol.__mro__
        if getattr(each, "_is_protocol", False)
        for name in (*vars(each), *vars(each).get("__annotations__", {}))
        if not name.startswith("_")
    }


def _kind(item: Any) -> str:
    return f"an object of class {type(item).__name__}"
