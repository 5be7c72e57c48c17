"""A Valkey that is started anew, and a clock that is wrong, as a peer meets them through the listener's application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from mosaic_hookspecs.types import QueueTarget
from mosaic_valkey.limiter import ValkeyLimiter
from mosaic_valkey.settings import Settings as ValkeySettings
from wrong_clock import wrong_clock

Asker = Callable[..., Callable[..., Awaitable[Any]]]


async def test_a_valkey_that_is_started_anew_counts_from_the_next_request_on(
    world: Any, asker: Asker, new_redis: Any
) -> None:
    server, ask = new_redis(), asker(requests_per_grant=2)
    target, settings = QueueTarget("bullmq", server.url), ValkeySettings(prefix="test")
    limiter = ValkeyLimiter(
        SimpleNamespace(gateway_name="work", queue_target=target, settings=lambda _: settings)
    )
    _, certificate = await world.enrolled()
    world.gateway.limiter = limiter
    async with AsyncExitStack() as stack:
        with server.running():
            await stack.enter_async_context(limiter.open())
            assert [(await ask(certificate)).status_code for _ in range(3)] == [200, 200, 429]
        refused = await ask(certificate)
        assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (503, True)
        assert "items" not in await refused.get_json()
        with server.running():  # it has kept nothing
            assert [(await ask(certificate)).status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize(
    ("fast", "told"),
    [
        (timedelta(days=2), "the certificate has expired"),
        (timedelta(days=-1), "the certificate is not valid yet: the clocks differ"),
    ],
)
async def test_a_clock_that_is_wrong_by_more_than_a_certificate_lasts_shuts_peers_out_and_says_so(
    world: Any, asker: Asker, monkeypatch: pytest.MonkeyPatch, fast: timedelta, told: str
) -> None:
    ask = asker()
    _, certificate = await world.enrolled()
    assert (await ask(certificate)).status_code == 200
    with monkeypatch.context() as patch:
        patch.setattr("mosaic_federation.reasons.datetime", wrong_clock(fast))
        refused = await ask(certificate)
    problem = await refused.get_json()
    assert (refused.status_code, problem["type"]) == (403, "urn:mosaic:problem:certificate-time")
    assert problem["detail"] == told
    assert (await ask(certificate)).status_code == 200  # and lets them in when it is right again


async def test_a_clock_that_is_wrong_by_less_than_a_minute_is_borne(
    world: Any, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = asker()
    _, certificate = await world.enrolled()
    monkeypatch.setattr("mosaic_federation.reasons.datetime", wrong_clock(timedelta(seconds=-55)))
    assert (await ask(certificate)).status_code == 200
