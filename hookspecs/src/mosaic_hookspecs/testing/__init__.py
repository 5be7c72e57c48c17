"""Contract suites: what every implementation of a protocol has to pass. Needs pytest and pytest-asyncio.

    class TestMyQueue(QueueContract):
        @pytest.fixture
        def make(self, ...):
            return lambda: opened_queue()  # an async context manager

Each call of ``make`` gives one more instance over the same backend, as another process would have. The suites
rely on pytest-asyncio's auto mode.
"""

from mosaic_hookspecs.testing.authorities import AuthorityContract
from mosaic_hookspecs.testing.caches import CacheContract
from mosaic_hookspecs.testing.limiters import LimiterContract
from mosaic_hookspecs.testing.policies import PolicyContract, peer_request
from mosaic_hookspecs.testing.queues import QueueContract

__all__ = [
    "AuthorityContract",
    "CacheContract",
    "LimiterContract",
    "PolicyContract",
    "QueueContract",
    "peer_request",
]
