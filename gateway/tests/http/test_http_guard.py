"""Nobody gets in without a token, and a new route is closed until someone opens it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from quart import Blueprint, g

from mosaic_gateway.http import public_app
from mosaic_hookspecs.types import Mount

OPEN = {"system.healthz", "system.readyz", "system.openapi"}


def blueprint(name: str, path: str) -> Blueprint:
    routes = Blueprint(name, __name__)

    @routes.get(path)
    async def view(**_: str) -> dict[str, str]:
        return {"viewer": g.viewer.username if "viewer" in g else "nobody"}

    return routes


async def test_every_route_but_the_named_ones_needs_a_token(app, anonymous) -> None:
    guarded = [rule for rule in app.url_map.iter_rules() if rule.endpoint not in OPEN]
    assert len(guarded) >= 8
    for rule in guarded:
        path = rule.rule.replace("<resource:resource>", "tasks").replace("<row:row_id>", "x")
        for method in rule.methods:
            answer = await anonymous.open(path, method=method)
            assert answer.status_code == 401, (method, path)
            assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_the_open_routes_need_none(anonymous) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert (await anonymous.get(path)).status_code == 200


async def test_a_plugin_mount_is_guarded_unless_it_says_otherwise(services) -> None:
    services.mounts = [
        Mount("public", blueprint("peers", "/v1/peers")),
        Mount("public", blueprint("enroll", "/enroll/<token>"), anonymous=True),
    ]
    client = public_app(services).test_client()
    assert (await client.get("/v1/peers")).status_code == 401
    assert await (await client.get("/enroll/abc")).get_json() == {"viewer": "nobody"}


async def test_a_blueprint_added_later_is_guarded(services) -> None:
    app = public_app(services)
    app.register_blueprint(blueprint("late", "/late"))
    app.register_blueprint(blueprint("healthz", "/health/more"), name="system2")
    for path in ("/late", "/health/more"):
        assert (await app.test_client().get(path)).status_code == 401


async def test_a_hook_of_a_plugin_runs_behind_the_guard(services) -> None:
    routes, ran = blueprint("peers", "/v1/peers"), []

    @routes.before_app_request
    async def hook() -> None:
        ran.append(g.viewer)

    services.mounts = [Mount("public", routes)]
    assert (await public_app(services).test_client().get("/v1/tasks")).status_code == 401
    assert not ran


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YWRhOmFkYQ==",
        "mos_abc",
        "Bearer a b",
        "Bearer ä",
        "Bearer\tmos_x",
        "Bearer mos_x,",
    ],
)
async def test_a_malformed_header_is_401(anonymous, header) -> None:
    answer = await anonymous.get("/v1/me", headers={"Authorization": header})
    assert answer.status_code == 401
    assert (await answer.get_json())["type"] == "urn:mosaic:problem:unauthenticated"


async def test_two_tokens_at_once_are_refused(anonymous, ada) -> None:
    headers = [("Authorization", f"Bearer {ada.token}"), ("Authorization", "Bearer mos_other")]
    assert (await anonymous.get("/v1/me", headers=headers)).status_code == 401


async def test_the_scheme_is_read_without_regard_to_case(anonymous, ada) -> None:
    answer = await anonymous.get("/v1/me", headers={"Authorization": f"bEARER {ada.token}"})
    assert answer.status_code == 200


async def test_an_unknown_token_is_401_and_not_repeated(anonymous) -> None:
    token = "mos_abcdefgh_" + "x" * 43
    answer = await anonymous.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert token not in (await answer.get_data()).decode()


async def test_a_revoked_token_is_401(ada, services) -> None:
    assert (await ada.get("/v1/me")).status_code == 200
    await services.identities.revoke_token(ada.token.split("_")[1])
    answer = await ada.get("/v1/me")
    assert answer.status_code == 401
    assert "revoked" in (await answer.get_json())["detail"]


async def test_an_expired_token_is_401(anonymous, ada, services) -> None:
    token = await services.identities.create_token("ada", name="brief", expires_in=timedelta(milliseconds=1))
    await asyncio.sleep(0.02)
    answer = await anonymous.get("/v1/me", headers={"Authorization": f"Bearer {token.secret}"})
    assert answer.status_code == 401
    assert "expired" in (await answer.get_json())["detail"]


async def test_a_disabled_user_is_401(ada, services) -> None:
    await services.identities.disable_user("ada")
    answer = await ada.get("/v1/me")
    assert answer.status_code == 401
    assert "disabled" in (await answer.get_json())["detail"]
