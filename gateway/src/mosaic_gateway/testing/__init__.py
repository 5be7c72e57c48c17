"""The kit for authors of plugins: gateways on the embedded tier for the tests of a plugin. Needs the extra ``testing``.

A pytest plugin, found by its entry point, offers the fixtures of :mod:`mosaic_gateway.testing.plugin`:

    def test_a_recipe_is_kept(gateway_with):
        gateway = gateway_with("recipes")
        assert gateway.client.post("/v1/recipes", json={"title": "Porridge"}).status_code == 201

Each gateway is the real one, in a thread of the test's process, so that a debugger stops inside the plugin, and is
reached by HTTP as any other. What an implementation of a protocol has to do is in :mod:`mosaic_hookspecs.testing`.
"""

from mosaic_gateway.testing.gateway import LiveGateway, live_gateway
from mosaic_gateway.testing.pair import Pair, live_pair
from mosaic_gateway.testing.plugin import GatewayWith, TwoGateways
from mosaic_gateway.testing.storage import connected

__all__ = ["GatewayWith", "LiveGateway", "Pair", "TwoGateways", "connected", "live_gateway", "live_pair"]
