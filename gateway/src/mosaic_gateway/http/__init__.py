"""HTTP: one Quart application per listener, sharing errors, request ids and limits."""

from mosaic_gateway.http.base import listener_app, mounts_of
from mosaic_gateway.http.metrics import metrics_mount
from mosaic_gateway.http.proxies import behind_proxies
from mosaic_gateway.http.public import public_app
from mosaic_gateway.http.quick import quick_first
from mosaic_gateway.http.services import PublicServices

__all__ = [
    "PublicServices",
    "behind_proxies",
    "listener_app",
    "metrics_mount",
    "mounts_of",
    "public_app",
    "quick_first",
]
