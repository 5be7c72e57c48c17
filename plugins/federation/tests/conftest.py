"""One gateway's services over a real database, without its sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import mosaic_audit.plugin
import mosaic_embedded_ca.plugin
import mosaic_federation.plugin
import mosaic_workspace.plugin
from mosaic_audit.settings import Settings as AuditSettings
from mosaic_audit.writer import Writer
from mosaic_embedded_ca.authority import EmbeddedCA
from mosaic_embedded_ca.settings import Settings as CASettings
from mosaic_federation.enrollment import Enrollment
from mosaic_federation.grants import Grants, Offer
from mosaic_federation.keys import new_key, signing_request
from mosaic_federation.lifespan import open_federation
from mosaic_federation.listener import peer_mount
from mosaic_federation.scopes import ScopeRequest
from mosaic_federation.settings import PeerLimits, Settings
from mosaic_gateway.database import Pool
from mosaic_gateway.host import GatewayHost, PluginHost
from mosaic_gateway.http import listener_app
from mosaic_gateway.identity import Identities
from mosaic_gateway.resources import ResourceRows
from mosaic_gateway.sealing import Keyring, Keys
from mosaic_hookspecs.types import MigrationSet, QueueTarget, StorageTarget, Tier
from mosaic_migrations import CORE
from mosaic_tier_local.cache import MemoryCache
from mosaic_tier_local.limiter import MemoryLimiter

Ask = Callable[..., Awaitable[Any]]

PLUGINS = (mosaic_workspace, mosaic_audit, mosaic_embedded_ca, mosaic_federation)


@dataclass(frozen=True)
class World:
    """A gateway named work, with a user ada, and shorthands for what tests do with it."""

    host: PluginHost
    gateway: GatewayHost
    pool: Pool
    ada: UUID

    @property
    def grants(self) -> Grants:
        return Grants(self.host)

    async def offer(
        self, *, subject: str = "ada", resources: tuple[str, ...] = ("tasks", "notes"), **scope: Any
    ) -> Offer:
        wanted = ScopeRequest(resources, **({"personal": True} | scope))
        return await self.grants.create(subject=subject, peer="home", scope=wanted, actor="test")

    async def enrolled(self, **scope: Any) -> tuple[UUID, bytes]:
        """A grant made and redeemed: its id, and the DER of its peer's certificate."""
        offer = await self.offer(**scope)
        answer = await Enrollment(self.host).redeem(
            token_of(offer), csr=signing_request(new_key()), name="home", request_id="r"
        )
        leaf = x509.load_pem_x509_certificates(answer["chain"].encode())[0]
        return offer.grant.id, leaf.public_bytes(Encoding.DER)

    async def audit(self) -> list[tuple[str, str, str]]:
        rows = await self.pool.fetch(
            "SELECT verb, resource, outcome FROM federation_audit_log ORDER BY stream, seq"
        )
        return [(row["verb"], row["resource"], row["outcome"]) for row in rows]


def token_of(offer: Offer) -> str:
    return offer.url.partition("#")[0].rpartition("/")[2]


@pytest.fixture
def migration_sets() -> list[MigrationSet]:
    offered = (one for plugin in PLUGINS for one in plugin.plugin.mosaic_migrations())
    return [CORE, *(one for one in offered if not one.needs_vector)]


@pytest.fixture
async def peers(behind_wall: Any) -> AsyncIterator[Pool]:
    """What peers are answered through."""
    async with behind_wall(mosaic_workspace.plugin.mosaic_resources()) as peers:
        yield peers


@pytest.fixture
async def world(pool: Pool, peers: Pool, tmp_path: Path) -> AsyncIterator[World]:
    gateway = GatewayHost(
        gateway_name="work",
        tier=Tier("local", "local", "for tests"),
        data_dir=tmp_path,
        public_url="http://127.0.0.1:8080",
        storage_target=StorageTarget("embedded"),
        queue_target=QueueTarget("postgres"),
        settings={"embedded_ca": CASettings(), "federation": Settings(), "audit": AuditSettings()},
        resources=tuple(mosaic_workspace.plugin.mosaic_resources()),
    )
    gateway.authorities = [EmbeddedCA(PluginHost(gateway, "embedded_ca"))]
    gateway.sinks = [Writer(PluginHost(gateway, "audit"))]
    gateway.database, gateway.sealer = pool, Keyring(Keys("k1", {"k1": b"s" * 32}))
    gateway.identity = identities = Identities(pool)
    gateway.rows = ResourceRows(pool, gateway.resources, lambda: [b"c" * 32], peers)
    gateway.limiter = MemoryLimiter()
    host = PluginHost(gateway, "federation")
    ada = (await identities.add_user("ada")).id
    gateway.cache = cache = MemoryCache(host)
    async with cache.open(), open_federation(host):
        yield World(host, gateway, pool, ada)


@pytest.fixture
def asker(world: World) -> Callable[..., Ask]:
    """Make what asks the listener's application as a peer does, from 192.0.2.1; its config has these limits."""

    def make(*, policy_timeout: float = 0.5, **limits: Any) -> Ask:
        settings = Settings(limits=PeerLimits(**limits), policy_timeout=policy_timeout)
        world.gateway.settings["federation"] = settings
        mounts = [peer_mount(world.host)]
        client = listener_app("federation", mounts, max_body_bytes=65_536).test_client()

        async def ask(certificate: bytes | None, path: str = "tasks", address: str = "192.0.2.1") -> Any:
            scope = {"state": {"client_certificate": certificate}, "client": (address, 40_000)}
            return await client.get(f"/federation/v1/{path}", scope_base=scope)

        return ask

    return make
