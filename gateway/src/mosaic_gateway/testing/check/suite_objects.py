"""The suites for resources, probes, authorities, audit sinks and policies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from mosaic_gateway.boot import Gateway
from mosaic_gateway.testing.check.fixtures import cannot
from mosaic_gateway.testing.check.subject import Subject
from mosaic_gateway.testing.check.trouble import NoDatabase, first_denied_and_allowed
from mosaic_gateway.testing.world import RowsWorld
from mosaic_hookspecs import testing
from mosaic_hookspecs.errors import MosaicError
from mosaic_hookspecs.protocols import AuditLog, CertificateAuthority, PeerPolicy
from mosaic_hookspecs.testing import audit_event
from mosaic_hookspecs.types import PeerRequest, Probe, Resource

Make = Callable[[], AbstractAsyncContextManager[Any]]


class TestResource(testing.ResourceContract):
    hook = "mosaic_resources"

    @pytest.fixture
    def resource(self, subject: Subject, named: str) -> Resource:
        found: Resource = subject.fresh(self.hook, named)
        return found

    @pytest.fixture
    def world(self, gateway: Gateway) -> RowsWorld:
        return RowsWorld(gateway.rows, gateway.database)


class TestProbe(testing.ProbeContract):
    hook = "mosaic_probes"

    @pytest.fixture
    def probe(self, subject: Subject, gateway: Gateway, named: str) -> Probe:
        probe: Probe = subject.fresh(self.hook, named, queue_target=subject.apart()["queue_target"])
        return probe

    @pytest.fixture
    def secrets(self, subject: Subject) -> Sequence[str]:
        return subject.secrets


class TestAuthority(testing.AuthorityContract):
    hook = "mosaic_authorities"

    @pytest.fixture
    async def authority(self, gateway: Gateway, named: str) -> CertificateAuthority:
        [authority] = (each for each in gateway.composition.host.authorities if each.name == named)
        try:
            await authority.root()
        except MosaicError as error:
            cannot(error)
        return authority


class TestAuditSink(testing.AuditSinkContract):
    hook = "mosaic_audit_sinks"

    @pytest.fixture
    def make(self, subject: Subject, gateway: Gateway, named: str) -> Make:
        @asynccontextmanager
        async def make() -> AsyncIterator[Any]:
            yield subject.fresh(self.hook, named)

        return make

    @pytest.fixture
    def recorded(self, subject: Subject, gateway: Gateway, named: str) -> Callable[[UUID], Awaitable[Any]]:
        log = subject.fresh(self.hook, named)
        if not isinstance(log, AuditLog):
            pytest.skip("it is no AuditLog: what it holds cannot be read back")

        async def recorded(grant_id: UUID) -> Sequence[str]:
            rows = [row async for row in log.rows_of(grant_id, since=datetime(1970, 1, 1, tzinfo=UTC))]
            rows.sort(key=lambda row: (row.stream, row.seq))
            return [row.request_id for row in rows]

        return recorded

    @pytest.fixture
    async def broken(self, subject: Subject, gateway: Gateway, named: str) -> Make:
        """Its database is away."""
        nowhere: Any = NoDatabase()

        @asynccontextmanager
        async def make() -> AsyncIterator[Any]:
            yield subject.fresh(self.hook, named, database=nowhere)

        async with make() as sink:
            await asyncio.wait({asyncio.ensure_future(sink.record(audit_event(uuid4())))}, timeout=10)
        if not nowhere.asked:
            pytest.skip("it keeps nothing in the gateway's database, and how else it may fail is not known")
        return make


class TestPeerPolicy(testing.PolicyContract):
    hook = "mosaic_peer_policies"

    @pytest.fixture
    def policy(self, subject: Subject, gateway: Gateway, named: str) -> PeerPolicy:
        policy: PeerPolicy = subject.fresh(self.hook, named)
        return policy

    @pytest.fixture
    async def denied(self, policy: PeerPolicy) -> PeerRequest:
        return await self._some(policy, 0)

    @pytest.fixture
    async def allowed(self, policy: PeerPolicy) -> PeerRequest:
        return await self._some(policy, 1)

    async def _some(self, policy: PeerPolicy, which: int) -> PeerRequest:
        if (request := (await first_denied_and_allowed(policy))[which]) is None:
            pytest.skip(f"no request was found that it {('denies', 'allows')[which]}")
        return request
