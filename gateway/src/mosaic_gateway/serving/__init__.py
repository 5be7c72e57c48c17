"""Sockets, TLS, HTTP connections, drain, worker processes. What is served is handed in as ASGI applications."""

from mosaic_gateway.serving.limits import Limits
from mosaic_gateway.serving.process import run, stop_event
from mosaic_gateway.serving.server import Endpoint, serve
from mosaic_gateway.serving.sockets import bind
from mosaic_gateway.serving.workers import inherited, supervise

__all__ = ["Endpoint", "Limits", "bind", "inherited", "run", "serve", "stop_event", "supervise"]
