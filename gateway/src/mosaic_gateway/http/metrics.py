"""``GET /metrics``, on a listener of its own: figures of the whole gateway, of no user, peer or row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quart import Blueprint, Response, request

from mosaic_hookspecs.types import Mount

if TYPE_CHECKING:
    from mosaic_gateway.metrics.sharing import Figures

LISTENER = "metrics"


def metrics_mount(figures: Figures | None) -> Mount:
    """The one route of the listener. Who reaches its address may read it: that is for the operator to say."""
    blueprint = Blueprint("metrics", __name__)

    @blueprint.get("/metrics")
    async def metrics() -> Response:
        from mosaic_gateway.metrics.text import as_text  # noqa: PLC0415  the library is for who asks

        assert figures is not None  # noqa: S101  # None only where routes are listed
        text, content_type = as_text(await figures.found(), request.headers.get("Accept", ""))
        return Response(text, content_type=content_type)

    return Mount(LISTENER, blueprint, anonymous=True, openapi=_openapi())


def _openapi() -> dict[str, Any]:
    text = {"schema": {"type": "string"}}
    content = {"text/plain": text, "application/openmetrics-text": text}
    return {
        "paths": {
            "/metrics": {
                "get": {
                    "operationId": "metrics",
                    "summary": "Figures for Prometheus.",
                    "security": [],
                    "responses": {"200": {"description": "The text.", "content": content}},
                }
            }
        }
    }
