"""The generic REST routes: every registered resource, nothing of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from quart import Blueprint, Response, g, request, url_for

from mosaic_gateway.http.headers import etag, if_match, json_body, query_params
from mosaic_gateway.http.sources import listed, names_sources, searched

if TYPE_CHECKING:
    from mosaic_gateway.http.services import PublicServices
    from mosaic_hookspecs.types import Answer


def rest(services: PublicServices) -> Blueprint:
    """Return the routes under ``/v1``. They need the converters ``resource`` and ``row`` in the URL map."""
    rows = services.rows
    blueprint = Blueprint("rows", __name__, url_prefix="/v1")
    many, one = "/<resource:resource>", "/<resource:resource>/<row:row_id>"

    @blueprint.get(many)
    async def list_rows(resource: str) -> Response:
        params = query_params()
        if names_sources(params):
            return await listed(services, resource, params)
        return _json(await rows.list(g.viewer, resource, params))

    @blueprint.get(f"{many}/search")
    async def search_rows(resource: str) -> Response:
        params = query_params()
        if names_sources(params):
            return await searched(services, [resource], params)
        return _json(await rows.search(g.viewer, resource, params))

    @blueprint.post(many)
    async def create_row(resource: str) -> Response:
        answer = await rows.create(g.viewer, resource, await json_body())
        response = _json(answer, 201)
        row_id = json.loads(answer.body)["id"]
        response.headers["Location"] = url_for("rows.get_row", resource=resource, row_id=row_id)
        return response

    @blueprint.get(one)
    async def get_row(resource: str, row_id: str) -> Response:
        answer = await rows.get(g.viewer, resource, row_id)
        if answer.version is not None and request.if_none_match.contains_weak(str(answer.version)):
            return _empty(304, ETag=etag(answer.version))
        return _json(answer)

    @blueprint.patch(one)
    async def update_row(resource: str, row_id: str) -> Response:
        wanted = if_match()
        return _json(await rows.update(g.viewer, resource, row_id, await json_body(), if_match=wanted))

    @blueprint.delete(one)
    async def delete_row(resource: str, row_id: str) -> Response:
        await rows.delete(g.viewer, resource, row_id, if_match=if_match())
        return _empty(204)

    return blueprint


def _json(answer: Answer, status: int = 200) -> Response:
    """Pass on the bytes that Postgres built."""
    response = Response(answer.body, status, content_type="application/json")
    if answer.version is not None:
        response.headers["ETag"] = etag(answer.version)
    return response


def _empty(status: int, **headers: str) -> Response:
    response = Response(None, status, headers=headers)
    del response.headers["Content-Type"]
    return response
