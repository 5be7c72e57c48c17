"""One gateway's view of the authority, over a real database and a running step-ca."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mosaic_gateway.database import Pool
from mosaic_gateway.sealing import Keyring, Keys
from mosaic_hookspecs.types import MigrationSet
from mosaic_step_ca.authority import StepCA
from mosaic_step_ca.plugin import mosaic_migrations
from mosaic_step_ca.settings import Settings

if TYPE_CHECKING:
    from conftest import StepCAServer

HostOf = Callable[..., Any]
Post = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]


@pytest.fixture
def migration_sets() -> list[MigrationSet]:
    return list(mosaic_migrations())


@pytest.fixture
def host_of(pool: Pool) -> HostOf:
    """The part of a host that the plugin uses, with these settings."""

    def make(**settings: Any) -> Any:
        return SimpleNamespace(
            database=pool,
            sealer=Keyring(Keys("k1", {"k1": b"s" * 32})),
            settings=lambda model: Settings(**settings),
            gateway_name="work",
        )

    return make


@pytest.fixture
async def authority(step_ca: StepCAServer, host_of: HostOf) -> AsyncIterator[StepCA]:
    """The shared step-ca, as a gateway knows it that was set up with it."""
    host = host_of(**step_ca.settings)
    await step_ca.adopt(host)
    found = StepCA(host)
    yield found
    await found.close()


@pytest.fixture
def post() -> Post:
    """Ask an authority as somebody would who has a token, past our client: status and JSON."""

    async def ask(
        server: StepCAServer, path: str, body: dict[str, Any], **options: Any
    ) -> tuple[int, dict[str, Any]]:
        context = ssl.create_default_context(cadata=server.authority.root.decode())
        if "client" in options:
            context.load_cert_chain(*options["client"])
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            response = await client.post(server.url + path, json=body, timeout=60)
        return response.status_code, response.json()

    return ask
