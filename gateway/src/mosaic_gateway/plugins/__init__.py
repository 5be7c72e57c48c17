"""Find, import and call plugins. Installed code never runs unless the config names it."""

from mosaic_gateway.plugins.calls import broadcast, consult, each, each_item
from mosaic_gateway.plugins.loader import Loaded, Registry, installed, load, settings_models

__all__ = [
    "Loaded",
    "Registry",
    "broadcast",
    "consult",
    "each",
    "each_item",
    "installed",
    "load",
    "settings_models",
]
