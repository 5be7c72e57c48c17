"""The fixtures, as pytest finds them. Every run of pytest imports this, so it imports next to nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from mosaic_gateway.testing.gateway import LiveGateway, live_gateway
from mosaic_gateway.testing.pair import Pair, live_pair

GatewayWith = Callable[..., LiveGateway]
TwoGateways = Callable[..., Pair]


@pytest.fixture(scope="module")
def gateway_with() -> Iterator[GatewayWith]:
    """``gateway_with("recipes", config={...})``: a running gateway with that plugin, until the module's tests end.

    The arguments are those of :func:`mosaic_gateway.testing.live_gateway`, which is for other scopes.
    """
    with ExitStack() as until:
        yield lambda *plugins, **options: until.enter_context(live_gateway(*plugins, **options))


@pytest.fixture(scope="module")
def two_gateways() -> Iterator[TwoGateways]:
    """``two_gateways("recipes", resources=["recipes"])``: ``home`` reads what ``work`` shares, both running."""
    with ExitStack() as until:
        yield lambda *plugins, **options: until.enter_context(live_pair(*plugins, **options))
