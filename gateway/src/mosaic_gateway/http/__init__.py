"""HTTP: one Quart application per listener, sharing errors, request ids and limits."""

from mosaic_gateway.http.base import listener_app
from mosaic_gateway.http.proxies import behind_proxies
from mosaic_gateway.http.public import public_app
from mosaic_gateway.http.services import PublicServices

__all__ = ["PublicServices", "behind_proxies", "listener_app", "public_app"]
