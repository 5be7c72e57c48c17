"""Lists and searches over several sources: ``sources=local,peer:*``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from quart import Blueprint, Response, g, request

from mosaic_gateway.http.headers import query_params
from mosaic_gateway.resources.query import MAX_FAULTS, OF_SOURCES, refuse, unknown
from mosaic_gateway.resources.search_query import PARAMETERS
from mosaic_gateway.sources import LOCAL
from mosaic_hookspecs.errors import Fault, Malformed
from mosaic_hookspecs.sources import Asked, Merged

if TYPE_CHECKING:
    from mosaic_gateway.http.services import PublicServices

MOST_RESOURCES = 50  # named in one search
MOST_SECONDS = 10  # that a request may wait for its sources
_OF_SEARCH = ("resources", *PARAMETERS, *OF_SOURCES)
_SECONDS = re.compile(r"[0-9]{1,20}(\.[0-9]{1,300})?([eE][+-]?[0-9]{1,3})?")


def search_routes(services: PublicServices) -> Blueprint:
    """Return the search over every resource."""
    blueprint = Blueprint("search", __name__)

    @blueprint.get("/v1/search")
    async def search() -> Response:
        params = query_params()
        named = params.pop("resources", None)
        strange = [name for name in params if name not in _OF_SEARCH]
        refuse([unknown(name, _OF_SEARCH) for name in strange[:MAX_FAULTS]])
        return await searched(services, None if named is None else _names(named), params)

    return blueprint


def names_sources(params: dict[str, str]) -> bool:
    """Whether a request wants to be told of its sources."""
    return "sources" in params or "timeout" in params


async def listed(services: PublicServices, resource: str, params: dict[str, str]) -> Response:
    """A page of the request's sources."""
    sources, asked = params.pop("sources", LOCAL), _asked(services, params)
    return _json(await services.sources.list(g.viewer, resource, params, sources, asked))


async def searched(
    services: PublicServices, resources: Sequence[str] | None, params: dict[str, str]
) -> Response:
    """The best matches in the request's sources; None: in whatever they share."""
    sources, asked = params.pop("sources", LOCAL), _asked(services, params)
    merged = await services.sources.search(g.viewer, resources, params, sources, asked)
    return _json(merged, paged=False)


def _names(text: str) -> Sequence[str]:
    names = list(dict.fromkeys(text.split(",")))
    if len(names) > MOST_RESOURCES:
        fault = Fault("resources", f"more than {MOST_RESOURCES} names")
        raise Malformed("Wrong query parameters: 'resources'.", faults=[fault])
    return names


def _asked(services: PublicServices, params: dict[str, str]) -> Asked:
    """Take out of the parameters how the sources are asked. Raises :class:`Malformed`."""
    text = params.pop("timeout", None)
    within = services.source_seconds if text is None else _seconds(text)
    return Asked(within, bool(request.cache_control.no_cache), g.request_id)


def _seconds(text: str) -> float:
    if _SECONDS.fullmatch(text) and 0 < float(text) <= MOST_SECONDS:
        return float(text)
    fault = Fault("timeout", f"expected seconds, at most {MOST_SECONDS}, such as 2 or 0.5")
    raise Malformed("Wrong query parameters: 'timeout'.", faults=[fault])


def _json(merged: Merged, *, paged: bool = True) -> Response:
    body = {"items": merged.items, **({"next_cursor": merged.next_cursor} if paged else {})}
    told = body | {"sources": [asdict(each) for each in merged.sources]}
    # another gateway's text may hold half a surrogate pair, which is no UTF-8
    text = json.dumps(told, ensure_ascii=False).encode(errors="replace")
    return Response(text, content_type="application/json")
