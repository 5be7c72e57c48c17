"""``/v1/admin`` for those who script: the same services as the commands `mosaic federation grant` and `peer`.

Adding, testing or renewing a peer makes the gateway dial a host that an admin names. It is dialled by HTTPS (or on
this very machine by HTTP), under one fixed path, without following redirects; of its answer only checked fields come
back.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from quart import Blueprint, Response, g

from mosaic_federation import joining
from mosaic_federation.admin_requests import (
    GrantUpdate,
    NewGrant,
    NewPeer,
    Why,
    read_body,
    read_params,
    wanted_version,
)
from mosaic_federation.checks import checks_of
from mosaic_federation.enrollment_url import check_fingerprint, read_url
from mosaic_federation.grants import Grant, Grants, Offer, check_peer_name, fingerprint
from mosaic_federation.joins import Join, Joins
from mosaic_federation.links import tell_removed
from mosaic_federation.peers import Peer, Peers
from mosaic_federation.renewing import renew
from mosaic_federation.routes import peer_record
from mosaic_hookspecs.errors import Conflict, Fault, Forbidden, Invalid, PreconditionFailed
from mosaic_hookspecs.limits import refuse_key_over
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import Rate

PREFIX = "/v1/admin"
STATES = ("pending", "active", "quarantined", "revoked", "expired")

_REQUESTS = Rate("admin-api", limit=120, period=60)  # per admin
_DIALS = Rate("peer-dials", limit=20, period=60)  # per admin: each may keep a connection waiting for 30 s


def admin_routes(host: Host) -> Blueprint:
    """Grants and peers, for admins only: every route of this blueprint is behind the same check."""
    blueprint = Blueprint("federation_admin", __name__, url_prefix=PREFIX)

    @blueprint.before_request
    async def only_admins() -> None:
        if not g.viewer.admin:
            raise Forbidden("the admin API is for admins", remedy="ask an admin of this gateway")
        await _refuse_over(host, _REQUESTS)

    _add_grants(blueprint, host)
    _add_peers(blueprint, host)
    return blueprint


def _add_grants(blueprint: Blueprint, host: Host) -> None:
    grants = Grants(host)

    @blueprint.get("/grants")
    async def grant_list() -> Response:
        wanted = read_params("status", "peer")
        if wanted.get("status", STATES[0]) not in STATES:
            raise Invalid(
                "there is no such status", faults=[Fault("status", f"expected one of {', '.join(STATES)}")]
            )
        if "peer" in wanted:
            check_peer_name(wanted["peer"], "peer")
        found = await grants.all(status=wanted.get("status"), peer=wanted.get("peer"))
        return _json({"items": [grant_record(grant) for grant in found]})

    @blueprint.post("/grants")
    async def grant_create() -> Response:
        wanted = await read_body(NewGrant)
        offer = await grants.create(
            subject=wanted.subject,
            peer=wanted.peer,
            scope=wanted.scope,
            actor=_actor(),
            limits=wanted.limits,
        )
        return _offered(offer, 201, Location=f"{PREFIX}/grants/{offer.grant.id}")

    @blueprint.get("/grants/<uuid:grant_id>")
    async def grant_show(grant_id: UUID) -> Response:
        grant = await grants.show(grant_id)
        history = [asdict(change) for change in await grants.history(grant_id)]
        words = await grants.words(grant)
        return _granted(grant, scope_in_words=words, history=history)

    @blueprint.patch("/grants/<uuid:grant_id>")
    async def grant_update(grant_id: UUID) -> Response:
        version, wanted = wanted_version(), await read_body(GrantUpdate)
        change = grants.update(
            grant_id,
            wanted.scope,
            actor=_actor(),
            reason=wanted.reason,
            expected_version=version,
            limits=wanted.limits,
        )
        return _granted(await _as_of(grants, grant_id, version, change))

    async def changed(grant_id: UUID, change: Callable[..., Awaitable[Any]]) -> Any:
        version, why = wanted_version(), await read_body(Why)
        made = change(grant_id, actor=_actor(), reason=why.reason, expected_version=version)
        return await _as_of(grants, grant_id, version, made)

    @blueprint.post("/grants/<uuid:grant_id>/revoke")
    async def grant_revoke(grant_id: UUID) -> Response:
        return _granted(await changed(grant_id, grants.revoke))

    @blueprint.post("/grants/<uuid:grant_id>/release")
    async def grant_release(grant_id: UUID) -> Response:
        return _granted(await changed(grant_id, grants.release))

    @blueprint.post("/grants/<uuid:grant_id>/reissue")
    async def grant_reissue(grant_id: UUID) -> Response:
        return _offered(await changed(grant_id, grants.new_url), 200)

    @blueprint.get("/grants/<uuid:grant_id>/explain/<resource>/<row_id>")
    async def grant_explain(grant_id: UUID, resource: str, row_id: str) -> Response:
        read_params()
        return _json(asdict(await grants.explain(grant_id, resource, row_id)))


def _add_peers(blueprint: Blueprint, host: Host) -> None:
    def peers() -> Peers:  # not before the gateway is up
        return Peers(host.database)

    @blueprint.get("/peers")
    async def peer_list() -> Response:
        read_params()
        return _json(
            {
                "items": [admin_record(peer) for peer in await peers().all()],
                "joining": [join_record(join) for join in await Joins(host.database).all()],
            }
        )

    @blueprint.post("/peers")
    async def peer_add() -> Response:
        wanted = await read_body(NewPeer)
        url = read_url(wanted.url)
        check_fingerprint(url, wanted.expect_fingerprint)
        await _refuse_over(host, _DIALS)
        offered, _ = await joining.look(host, url)
        peer = await joining.join(
            host, url, offered, name=wanted.name, readers=wanted.readers, actor=_actor()
        )
        return _json(admin_record(peer), 201, Location=f"{PREFIX}/peers/{peer.name}")

    @blueprint.get("/peers/<name>")
    async def peer_show(name: str) -> Response:
        return _json(admin_record(await peers().get(name)))

    @blueprint.post("/peers/<name>/test")
    async def peer_test(name: str) -> Response:
        await _refuse_over(host, _DIALS)
        found = await peers().get(name)
        checks = [
            {
                "check": check.name,
                **{key: getattr(check.finding, key) for key in ("status", "detail", "remedy")},
            }
            async for check in checks_of(host, found)
        ]
        return _json(admin_record(await peers().get(name)) | {"checks": checks})

    @blueprint.post("/peers/<name>/renew")
    async def peer_renew(name: str) -> Response:
        await _refuse_over(host, _DIALS)
        return _json(admin_record(await renew(host, await peers().get(name))))

    @blueprint.delete("/peers/<name>")
    async def peer_remove(name: str) -> Response:
        await peers().remove(name)
        await tell_removed(host)
        response = Response(None, 204)
        del response.headers["Content-Type"]
        return response


def grant_record(grant: Grant) -> dict[str, Any]:
    """What is told of a grant: all of it."""
    return asdict(grant) | {"scope": grant.scope.model_dump(mode="json") if grant.scope else None}


def admin_record(peer: Peer) -> dict[str, Any]:
    """What is told of a peer to admins: all but its key."""
    more = {"serial": peer.serial, "ca_sha256": fingerprint(peer.ca)}
    return peer_record(peer) | more | {"oid_arc": peer.oid_arc, "added_by": peer.added_by}


def join_record(join: Join) -> dict[str, Any]:
    """What is told of an enrollment that was begun and not finished."""
    return {key: getattr(join, key) for key in ("name", "gateway", "grant_id", "added_by", "started_at")}


async def _as_of(grants: Grants, grant_id: UUID, version: int | None, change: Awaitable[Any]) -> Any:
    """Tell what was changed meanwhile (412) from what the grant's state does not allow (409)."""
    try:
        return await change
    except Conflict as conflict:
        if version is not None and (await grants.show(grant_id)).version != version:
            raise PreconditionFailed(
                conflict.detail, remedy="read the grant again and send its ETag"
            ) from None
        raise


async def _refuse_over(host: Host, rate: Rate) -> None:
    await refuse_key_over(host.limiter(), rate, str(g.viewer.id), "too many requests to the admin API")


def _actor() -> str:
    return f"user:{g.viewer.username}"


def _granted(grant: Grant, **more: Any) -> Response:
    return _json(grant_record(grant) | more, ETag=f'"{grant.version}"')


def _offered(offer: Offer, status: int, **headers: str) -> Response:
    """The only answers that hold the URL."""
    shown = {"url": offer.url, "url_expires_at": offer.url_expires_at, "scope_in_words": offer.words}
    return _json(grant_record(offer.grant) | shown, status, ETag=f'"{offer.grant.version}"', **headers)


def _json(value: Mapping[str, Any], status: int = 200, **headers: str) -> Response:
    text = json.dumps(value, default=_text, ensure_ascii=False)
    return Response(text.encode(), status, headers=headers, content_type="application/json")


def _text(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
