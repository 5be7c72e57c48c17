"""The configuration: where it is read from, and the one model it is bound to."""

from mosaic_gateway.config.binding import bind, faults_of
from mosaic_gateway.config.files import (
    CONFIG_NAMES,
    Source,
    find_config,
    leaves,
    read_config,
    read_named,
    read_origins,
    read_variables,
)
from mosaic_gateway.config.model import Config, NoSettings
from mosaic_gateway.config.schema import config_schema
from mosaic_gateway.config.shown import Setting, settings_in_force
from mosaic_gateway.config.targets import TIER_ALIASES, queue_target, storage_target, tier_faults, tier_name

__all__ = [
    "CONFIG_NAMES",
    "TIER_ALIASES",
    "Config",
    "NoSettings",
    "Setting",
    "Source",
    "bind",
    "config_schema",
    "faults_of",
    "find_config",
    "leaves",
    "queue_target",
    "read_config",
    "read_named",
    "read_origins",
    "read_variables",
    "settings_in_force",
    "storage_target",
    "tier_faults",
    "tier_name",
]
