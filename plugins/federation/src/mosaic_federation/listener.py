"""The listener for peers. Each request passes the gate, also what is no route or no method of one."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from quart import Blueprint, Response, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from mosaic_federation.asking import Asker, Peers
from mosaic_hookspecs.errors import TooLarge
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import ROUTES, Answer, Mount, QuickRequest

_PREFIX = "/federation/v1"
_FREQUENT = re.compile(rf"{_PREFIX}/(\w{{1,63}})(?:/(?:(search)|([0-9a-f-]{{36}})))?", re.ASCII)


def peer_mount(host: Host) -> Mount:
    """Everything a peer may ask."""
    peers = Peers(host)
    return Mount("federation", _routes(peers), quick=_quick(peers))


def _routes(peers: Peers) -> Blueprint:
    blueprint = Blueprint("federation_peers", __name__)

    def route(rule: str, work: Callable[..., Awaitable[Answer]], method: str = "GET") -> None:
        async def guarded(**path: str) -> Response:
            more = (_body,) if method == "POST" else ()
            return _json(await work(_asker(), request.query_string, *more, **path))

        blueprint.add_url_rule(_PREFIX + rule, f"{work.__name__} {rule}", guarded, methods=[method])

    route("/whoami", peers.whoami)
    route("/capabilities", peers.capabilities)
    route("/renew", peers.renew, "POST")
    route("/audit/head", peers.audit_head)
    route("/audit/head", peers.audit_hear, "POST")
    route("/audit/rows", peers.audit_rows)
    route("/<resource>", peers.list)
    route("/<resource>/search", peers.search)
    route("/<resource>/<row_id>", peers.get)

    @blueprint.before_app_request
    async def elsewhere() -> Response | None:
        if request.routing_exception is None:
            return None
        return _json(await peers.other(_asker(), request.query_string))

    return blueprint


def _quick(peers: Peers) -> Callable[[QuickRequest], Awaitable[Answer] | None]:
    """Lists, searches and rows, asked for by plain paths, and whether or not there is such a resource.

    The two ways send their headers in different orders, which would tell one that is not shared from none.
    """

    def quick(asked: QuickRequest) -> Awaitable[Answer] | None:
        found = _FREQUENT.fullmatch(asked.path)
        if found is None or found[1] in ROUTES or not asked.query.isascii():
            return None
        asker = Asker(asked.certificate, asked.client, asked.request_id)
        if found[2]:
            return peers.search(asker, asked.query, found[1])
        return (
            peers.get(asker, asked.query, found[1], found[3])
            if found[3]
            else peers.list(asker, asked.query, found[1])
        )

    return quick


async def _body() -> bytes:
    """Raises :class:`TooLarge`, so that it is on record as what it is."""
    try:
        return bytes(await request.get_data(True, False, False))
    except RequestEntityTooLarge:
        raise TooLarge("the body is larger than a peer's may be", remedy="send less in one request") from None


def _asker() -> Asker:
    scope = request.scope
    return Asker(scope["state"].get("client_certificate"), scope.get("client"), g.request_id)


def _json(answer: Answer) -> Response:
    return Response(answer.body, headers=dict(answer.headers), content_type="application/json")
