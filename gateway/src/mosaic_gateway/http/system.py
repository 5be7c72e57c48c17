"""The routes of the gateway itself: health, the OpenAPI document, who am I, what is here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from quart import Blueprint, Response, g

if TYPE_CHECKING:
    from mosaic_gateway.http.services import PublicServices


def anonymous_routes(services: PublicServices, document: bytes) -> Blueprint:
    """Return what is answered without a token. Probes show name and status only, no detail."""
    blueprint = Blueprint("system", __name__)

    @blueprint.get("/healthz")
    async def healthz() -> Response:
        return _json({"status": "alive"})

    @blueprint.get("/readyz")
    async def readyz() -> Response:
        found = [(name, finding.status) for name, finding in await services.ready()]
        ready = all(status != "red" for _, status in found)
        probes = [{"name": name, "status": status} for name, status in found]
        response = _json({"status": "ready" if ready else "unready", "probes": probes}, 200 if ready else 503)
        if not ready:
            response.headers["Retry-After"] = "5"
        return response

    @blueprint.get("/openapi.json")
    async def openapi() -> Response:
        return Response(document, content_type="application/json")

    return blueprint


def account_routes(services: PublicServices) -> Blueprint:
    """Return what a logged-in user may ask about the gateway."""
    blueprint = Blueprint("account", __name__)

    @blueprint.get("/v1/me")
    async def me() -> Response:
        user = g.viewer
        teams = await services.identities.teams_of(user.id)
        return _json(
            {
                "id": str(user.id),
                "username": user.username,
                "admin": user.admin,
                "teams": [{"id": str(team.id), "slug": team.slug, "name": team.name} for team in teams],
            }
        )

    @blueprint.get("/v1/resources")
    async def resources() -> Response:
        every = [services.rows.resource(name) for name in services.rows.names()]
        return _json({"items": [{"name": each.name, "summary": each.summary} for each in every]})

    return blueprint


def _json(value: Any, status: int = 200) -> Response:
    text = json.dumps(value, ensure_ascii=False).encode()
    return Response(text, status, content_type="application/json")
