"""Routes of the listener for peers. Each passes the gate, also what is no route or no method of one."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version

from quart import Blueprint, Response, g, request

from mosaic_federation.announced import scope_for_peer, words_for_peer
from mosaic_federation.budget import within_budget
from mosaic_federation.gate import Admitted, Asked, Gate, Verb
from mosaic_federation.settings import Settings
from mosaic_hookspecs.errors import Malformed, NotFound
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import Answer, GrantView

# What a peer names ends in the audit log, and so on an admin's terminal.
_LONGEST_NAME = 63  # characters
_A_NUMBER = re.compile(r"[1-9][0-9]{0,7}")
_NOT_A_NAME = re.compile(r"[^a-z0-9_]")


def peer_routes(host: Host) -> Blueprint:
    """Everything a peer may ask."""
    gate = Gate(host)
    blueprint = Blueprint("federation_peers", __name__)

    def route(rule: str, verb: Verb, work: Callable[..., Awaitable[Answer]]) -> None:
        async def guarded(**path: str) -> Response:
            return await _through(gate, verb, partial(work, host, **path), path)

        blueprint.add_url_rule(rule, f"{verb} {rule}", guarded, methods=["GET"])

    route("/federation/v1/whoami", "whoami", _whoami)
    route("/federation/v1/<resource>", "list", _list)
    route("/federation/v1/<resource>/search", "search", _search)
    route("/federation/v1/<resource>/<row_id>", "get", _get)

    @blueprint.before_app_request
    async def elsewhere() -> Response | None:
        if request.routing_exception is None:
            return None
        return await _through(gate, "other", _nothing, {})

    return blueprint


async def _through(
    gate: Gate, verb: Verb, work: Callable[[Admitted], Awaitable[Answer]], path: dict[str, str]
) -> Response:
    query = path["row_id"].encode("utf-8", "replace") if verb == "get" else request.query_string
    resource = _NOT_A_NAME.sub("?", path.get("resource", "")[:_LONGEST_NAME])
    certificate = request.scope["state"].get("client_certificate")
    answer = await gate.answer(certificate, Asked(verb, resource, query, g.request_id), work)
    return Response(answer.body, content_type="application/json")


async def _whoami(host: Host, admitted: Admitted) -> Answer:
    claims, view = admitted.claims, admitted.view
    ends = admitted.expires_at
    body = {
        "gateway": host.gateway_name,
        "peer": admitted.peer,
        "grant_id": str(view.grant_id),
        "subject": {"id": str(view.subject_id), "username": admitted.subject},
        "scope": scope_for_peer(view.scope),
        "scope_in_words": words_for_peer(view.scope, await host.identity.teams_of(view.subject_id)),
        "grant_expires_at": ends.isoformat() if ends else None,
        "certificate": {"serial": claims.serial, "not_after": claims.not_after.isoformat()},
        "oid_arc": host.settings(Settings).oid_arc,
        "release": version("mosaic-federation"),
        "time": datetime.now(UTC).isoformat(),
    }
    return Answer(json.dumps(body, ensure_ascii=False).encode(), rows=0)


async def _list(host: Host, admitted: Admitted, resource: str) -> Answer:
    params = query_params()
    return await within_budget(
        host.database,
        admitted.view,
        _wanted(admitted.view, params),
        lambda view: host.rows.list(view, resource, params),
    )


async def _search(host: Host, admitted: Admitted, resource: str) -> Answer:
    params = query_params()
    return await within_budget(
        host.database,
        admitted.view,
        _wanted(admitted.view, params),
        lambda view: host.rows.search(view, resource, params),
    )


async def _get(host: Host, admitted: Admitted, resource: str, row_id: str) -> Answer:
    return await within_budget(
        host.database, admitted.view, 1, lambda view: host.rows.get(view, resource, row_id)
    )


def _wanted(view: GrantView, params: dict[str, str]) -> int:
    """Most rows that a list or a search asks for; what is no number of rows is refused later."""
    text, most = params.get("limit", ""), view.scope.max_rows_per_query
    return min(int(text), most) if _A_NUMBER.fullmatch(text) else most


async def _nothing(_: Admitted) -> Answer:
    raise NotFound("peers can ask for nothing here", remedy="GET /federation/v1/whoami says what there is")


def query_params() -> dict[str, str]:
    """The request's query parameters. Raises :class:`Malformed` for one given twice."""
    for name, values in request.args.lists():
        if len(values) > 1:
            raise Malformed(f"query parameter {name!r} is given more than once", remedy="give it once")
    return dict(request.args.items())
