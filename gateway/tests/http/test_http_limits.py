"""Refused tokens are counted per address; good ones never are."""

from __future__ import annotations

from typing import Any

import pytest

from mosaic_gateway.http.guard import FAILURES
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.limits import client_of

WRONG = {"Authorization": "Bearer mos_abcdefgh_" + "x" * 43}


async def test_after_too_many_refused_tokens_an_address_is_told_to_wait(ada: Any) -> None:
    for _ in range(FAILURES.limit):
        answer = await ada.raw.get("/v1/me", headers=WRONG)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    refused = await ada.raw.get("/v1/me", headers=WRONG)
    assert (refused.status_code, refused.content_type) == (429, "application/problem+json")
    assert 1 <= int(refused.headers["Retry-After"]) <= 3
    assert refused.headers["RateLimit-Policy"] == '"authentication";q=20;w=60'
    assert (await ada.get("/v1/me")).status_code == 200, "a good token is not locked out by a neighbour"


async def test_a_limiter_that_is_away_changes_no_refusal(ada: Any, services: Any) -> None:
    async def away(*_: object) -> None:
        raise Unavailable("away")

    services.limiter.take = away
    assert (await ada.raw.get("/v1/me", headers=WRONG)).status_code == 401


@pytest.mark.parametrize(
    ("client", "key"),
    [
        (("192.0.2.7", 4711), "192.0.2.7"),
        (("::ffff:192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::"),
        (("fe80::1%eth0", 1), "fe80::"),
        (("", 0), "unknown"),
        (None, "unknown"),
    ],
)
def test_who_counts_as_one_client(client: Any, key: str) -> None:
    assert client_of(client) == key


async def test_a_body_that_does_not_come_is_not_waited_for(services: Any, app: Any, ada: Any) -> None:
    app.config["BODY_TIMEOUT"] = 0.01
    headers = {"Authorization": f"Bearer {ada.token}", "Content-Type": "application/json"}
    async with app.test_client().request("/v1/tasks", method="POST", headers=headers) as connection:
        await connection.send(b'{"title": ')
        body = await connection.receive()
    assert connection.status_code == 408
    assert b"urn:mosaic:problem:request-timeout" in body
