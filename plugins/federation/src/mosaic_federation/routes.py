"""Routes of the public listener: enrollment for whoever holds its URL, and peers' rows for our users."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from quart import Blueprint, Response, g, request

from mosaic_federation.enrollment import Enrollment
from mosaic_federation.grants import PEER_NAME, token_hash
from mosaic_federation.peers import Peer, Peers
from mosaic_federation.reading.kept import Question
from mosaic_federation.reading.reader import Read, Reader
from mosaic_hookspecs.errors import Fault, Invalid, TooLarge
from mosaic_hookspecs.limits import refuse_key_over, refuse_over
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import Rate

_ENROLLMENTS = Rate("enrollment", limit=60, period=60)  # per address
_OF_ONE_URL = Rate("enrollment-url", limit=60, period=60)  # from whatever addresses
_LARGEST_REDEMPTION = 16 * 1024  # bytes

SHOWN = (
    "name",
    "state",
    "refusal",
    "failure",
    "answered_at",
    "retry_at",
    "gateway",
    "url",
    "grant_id",
    "subject",
    "scope",
    "not_after",
    "renewed_at",
    "renewal_failure",
    "renewal_retry_at",
    "readers",
    "created_at",
)


Params = Iterable[tuple[str, str]]


class Redemption(BaseModel):
    """The body of a POST to an enrollment URL."""

    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid", strict=True)

    csr: Annotated[str, Field(max_length=8192)]
    name: Annotated[str, Field(pattern=f"^{PEER_NAME.pattern}$")]


def enrollment_routes(host: Host) -> Blueprint:
    """GET shows an offer and consumes nothing (mail scanners follow links); POST takes it."""
    enrollment = Enrollment(host)
    blueprint = Blueprint("federation_enrollment", __name__, url_prefix="/federation/v1/enroll")

    @blueprint.before_request
    async def limit() -> None:
        client = request.scope.get("client")
        await refuse_over(
            host.limiter(), _ENROLLMENTS, client, "too many enrollment requests from your address"
        )
        token = (request.view_args or {}).get("token", "")
        key, told = token_hash(token).hex(), "too many requests for one enrollment URL"
        await refuse_key_over(host.limiter(), _OF_ONE_URL, key, told)

    @blueprint.get("/<token>")
    async def offer(token: str) -> Response:
        offered = await enrollment.offer(token, request_id=g.request_id)
        if request.accept_mimetypes.best_match(["application/json", "text/plain"]) == "text/plain":
            return Response(_as_text(offered), content_type="text/plain; charset=utf-8")
        return _json(json.dumps(offered, ensure_ascii=False).encode())

    @blueprint.post("/<token>")
    async def redeem(token: str) -> Response:
        wanted = await _redemption()
        issued = await enrollment.redeem(
            token, csr=wanted.csr.encode(), name=wanted.name, request_id=g.request_id
        )
        return _json(json.dumps(issued, ensure_ascii=False).encode())

    return blueprint


def peer_rows_routes(host: Host) -> Blueprint:
    """Rows of peers, for users of this gateway: what is asked and what is answered passes unchanged."""
    blueprint = Blueprint("federation_peer_rows", __name__, url_prefix="/v1/peers")

    async def passed_on(peer: str, *steps: str, params: Params = ()) -> Response:
        found = await Peers(host.database).readable(peer, g.viewer)
        fresh = bool(request.cache_control.no_cache)
        read = await Reader(host, g.viewer.id).read(
            Question(found, steps, tuple(params)), fresh=fresh, request_id=g.request_id
        )
        response = _json(read.body)
        response.headers["X-Mosaic-Source"] = _whence(read)
        if read.kept:
            response.headers["Age"] = str(int(read.age))  # RFC 9111, 5.1
        return response

    @blueprint.get("")
    async def peers() -> Response:
        known = await Peers(host.database).all()
        items = [peer_record(peer) for peer in known if peer.readable_by(g.viewer)]
        return _json(json.dumps({"items": items}, default=str, ensure_ascii=False).encode())

    @blueprint.get("/<peer>/<resource>")
    async def peer_list(peer: str, resource: str) -> Response:
        return await passed_on(peer, resource, params=_query())

    @blueprint.get("/<peer>/<resource>/search")
    async def peer_search(peer: str, resource: str) -> Response:
        return await passed_on(peer, resource, "search", params=_query())

    @blueprint.get("/<peer>/<resource>/<row_id>")
    async def peer_get(peer: str, resource: str, row_id: str) -> Response:
        return await passed_on(peer, resource, row_id)

    return blueprint


def peer_record(peer: Peer) -> dict[str, Any]:
    """What may be shown of a peer."""
    return {key: getattr(peer, key) for key in SHOWN} | {"state": peer.standing}


def _whence(read: Read) -> str:
    """Whether the peer was asked, and how old what it said is, in seconds."""
    if not read.kept:
        return "peer"
    return f"{'stale' if read.why_old else 'cache'}; age={read.age:.1f}"


def _query() -> Params:
    return list(request.args.items(multi=True))


async def _redemption() -> Redemption:
    announced = request.content_length or 0  # absent when sent in chunks; then the listener's own limit holds
    body = await request.get_data() if announced <= _LARGEST_REDEMPTION else b""
    if max(announced, len(body)) > _LARGEST_REDEMPTION:
        raise TooLarge(f"an enrollment request has at most {_LARGEST_REDEMPTION} bytes")
    try:
        return Redemption.model_validate_json(body)
    except ValidationError as error:
        faults = [Fault("/" + "/".join(map(str, found["loc"])), found["msg"]) for found in error.errors()]
        raise Invalid(
            "the enrollment request is not valid",
            faults=faults,
            remedy='send {"csr": "<PEM>", "name": "<your gateway\'s name>"}',
        ) from None


def _json(body: bytes) -> Response:
    return Response(body, content_type="application/json")


def _as_text(offered: dict[str, Any]) -> str:
    return "\n".join(
        [
            f"Gateway {offered['gateway']!r} offers gateway {offered['peer']!r}, "
            f"through the eyes of {offered['subject']['username']!r}:",
            *(f"  - {line}" for line in offered["scope_in_words"]),
            f"Usable once, until {offered['expires_at']}. To accept, on your gateway:",
            "  mosaic federation peer add '<this URL, whole, with what follows the #>'",
            "",
        ]
    )
