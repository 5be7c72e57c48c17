"""Find, import and call plugins. Installed code never runs unless the config names it."""

from mosaic_gateway.plugins.answers import CHOSEN, refuse_lacking
from mosaic_gateway.plugins.calls import broadcast, consult, each, each_item
from mosaic_gateway.plugins.lifespans import kept_up
from mosaic_gateway.plugins.loader import Loaded, Registry, load, settings_models
from mosaic_gateway.plugins.metadata import Offer, installed
from mosaic_gateway.plugins.watch import Steps, guarded, watched

__all__ = [
    "CHOSEN",
    "Loaded",
    "Offer",
    "Registry",
    "Steps",
    "broadcast",
    "consult",
    "each",
    "each_item",
    "guarded",
    "installed",
    "kept_up",
    "load",
    "refuse_lacking",
    "settings_models",
    "watched",
]
