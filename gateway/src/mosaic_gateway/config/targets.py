"""What the config and the tier together say about the services a gateway stands on."""

from __future__ import annotations

import warnings
from pathlib import Path

from mosaic_gateway.config.model import Config
from mosaic_hookspecs.errors import Fault
from mosaic_hookspecs.types import QueueTarget, StorageTarget, Tier

#: Old names of tiers, and the release that drops each.
TIER_ALIASES = {"team": ("standalone", "0.3")}


def tier_name(name: str) -> str:
    """The present name of a tier. Warns (DeprecationWarning) of an old one."""
    if name not in TIER_ALIASES:
        return name
    present, release = TIER_ALIASES[name]
    warnings.warn(
        f"tier {name!r} is the old name of {present!r}, and release {release} drops it: "
        f'write "tier": "{present}"',
        DeprecationWarning,
        stacklevel=2,
    )
    return present


def storage_target(config: Config, tier: Tier, root: Path) -> StorageTarget:
    """The storage to open; ``root`` is what relative paths start from."""
    mine = config.storage
    return StorageTarget(
        type=mine.type or tier.storage,
        url=mine.url.get_secret_value() if mine.url else tier.storage_url,
        password_file=_absolute(mine.password_file, root),
        enable_vector=tier.enable_vector if mine.enable_vector is None else mine.enable_vector,
        pool=mine.pool,
    )


def queue_target(config: Config, tier: Tier, root: Path) -> QueueTarget:
    """The queue to open; ``root`` is what relative paths start from."""
    mine = config.queue
    return QueueTarget(
        type=mine.type or tier.queue,
        url=mine.url.get_secret_value() if mine.url else tier.queue_url,
        password_file=_absolute(mine.password_file, root),
    )


def tier_faults(config: Config, tier: Tier) -> list[Fault]:
    """What the tier does not allow."""
    if tier.no_other_queue_because and config.queue.type not in (None, tier.queue):
        reason = f"the tier {tier.name!r} runs with {tier.queue!r} only: {tier.no_other_queue_because}"
        return [Fault("queue.type", reason)]
    return []


def _absolute(path: Path | None, root: Path) -> Path | None:
    return (root / path.expanduser()).absolute() if path else None
