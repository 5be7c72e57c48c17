"""Secrets at rest: the keys, what is sealed with them, and changing them while the gateway runs."""

from mosaic_gateway.sealing.keyring import Keyring
from mosaic_gateway.sealing.keys import ENVIRONMENT, KEY_FILE, KeyFile, Keys, create_keys
from mosaic_gateway.sealing.rotation import Count, Report, count, lock, retire, rotate

__all__ = [
    "ENVIRONMENT",
    "KEY_FILE",
    "Count",
    "KeyFile",
    "Keyring",
    "Keys",
    "Report",
    "count",
    "create_keys",
    "lock",
    "retire",
    "rotate",
]
