"""The values a gateway runs with, and where each came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr

from mosaic_gateway.config.files import KeyPath
from mosaic_gateway.config.model import Config
from mosaic_hookspecs.types import QueueTarget, StorageTarget, Tier

MASK = "********"


@dataclass(frozen=True, slots=True)
class Setting:
    """One value in force. ``origin`` is a file, a variable, a tier or ``default``."""

    key: str
    value: Any
    origin: str


def settings_in_force(
    config: Config,
    tier: Tier,
    targets: tuple[StorageTarget, QueueTarget],
    plugins: Mapping[str, BaseModel | None],
    origins: Mapping[KeyPath, str],
) -> list[Setting]:
    """Every setting of the host and of the loaded plugins, secrets masked."""
    storage, queue = targets
    by_tier: dict[KeyPath, Any] = {
        ("storage", "type"): storage.type,
        ("storage", "url"): storage.url,
        ("storage", "enable_vector"): storage.enable_vector,
        ("queue", "type"): queue.type,
        ("queue", "url"): queue.url,
    } | {("plugins", name): {} for name in (f"tier_{tier.name}", *tier.needs)}
    found = [pair for pair in _fields(config) if pair[0] != ("plugins",)]
    for name, settings in plugins.items():
        fields = list(_fields(settings, ("plugins", name))) if settings else []
        found += fields or [(("plugins", name), {})]

    def setting(path: KeyPath, value: Any) -> Setting:
        if path not in origins and path in by_tier:
            return Setting(".".join(path), by_tier[path], f"tier {tier.name}")
        return Setting(".".join(path), _masked(value), origins.get(path, "default"))

    return [setting(path, value) for path, value in found]


def _fields(model: BaseModel, above: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    for name, value in model:
        if isinstance(value, BaseModel):
            yield from _fields(value, (*above, name))
        else:
            yield (*above, name), value


def _masked(value: Any) -> Any:
    return MASK if isinstance(value, SecretStr) else value
