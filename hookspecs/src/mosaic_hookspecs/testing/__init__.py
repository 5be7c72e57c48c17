"""Contract suites: what every implementation of a protocol has to pass. Needs pytest and pytest-asyncio.

    class TestMyQueue(QueueContract):
        @pytest.fixture
        def make(self, ...):
            return lambda: opened_queue()  # an async context manager

Each call of ``make`` gives one more instance over the same backend, as another process would have. The suites
rely on pytest-asyncio's auto mode.
"""

from mosaic_hookspecs.testing.audit_sinks import AuditSinkContract, audit_event
from mosaic_hookspecs.testing.authorities import AuthorityContract
from mosaic_hookspecs.testing.caches import CacheContract
from mosaic_hookspecs.testing.limiters import LimiterContract
from mosaic_hookspecs.testing.policies import PolicyContract, peer_request
from mosaic_hookspecs.testing.probes import ProbeContract
from mosaic_hookspecs.testing.queues import QueueContract
from mosaic_hookspecs.testing.resources import ResourceContract
from mosaic_hookspecs.testing.storages import StorageContract

__all__ = [
    "AuditSinkContract",
    "AuthorityContract",
    "CacheContract",
    "LimiterContract",
    "PolicyContract",
    "ProbeContract",
    "QueueContract",
    "ResourceContract",
    "StorageContract",
    "audit_event",
    "peer_request",
]
