"""The public application over the real rooms, its users, and the same behind a real socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from quart import Quart
from quart.testing import QuartClient

from mosaic_gateway.database import Pool, connect, open_pool
from mosaic_gateway.http import public_app
from mosaic_gateway.identity import Identities
from mosaic_gateway.resources import ResourceRows
from mosaic_gateway.serving import Endpoint, Limits, bind, serve
from mosaic_gateway.sources import Fanout
from mosaic_hookspecs.protocols import Limiter
from mosaic_hookspecs.sources import Sources
from mosaic_hookspecs.types import DatabaseLocation, Decision, Finding, Listener, MigrationSet, Mount, Rate
from mosaic_migrations import CORE
from mosaic_migrations.runner import migrate
from mosaic_tier_local.limiter import MemoryLimiter
from mosaic_workspace.plugin import mosaic_migrations as workspace_migrations
from mosaic_workspace.plugin import mosaic_resources as workspace_resources

CURSOR_KEY = b"k" * 32


@pytest.fixture
def migration_sets() -> list[MigrationSet]:
    return [CORE, *(one for one in workspace_migrations() if not one.needs_vector)]


@dataclass
class Services:
    """What the gateway gives to the public application, over the real rooms."""

    rows: ResourceRows
    identities: Identities
    limiter: Limiter = field(default_factory=MemoryLimiter)
    mounts: Sequence[Mount] = ()
    max_body_bytes: int = 10_000
    name: str = "home"
    version: str = "1.2.3"
    findings: list[tuple[str, Finding]] = field(default_factory=list)
    kinds: Sequence[Sources] = ()
    source_seconds: float = 2.0

    @property
    def sources(self) -> Fanout:
        return Fanout(self.rows, self.kinds, lambda: [CURSOR_KEY])

    async def ready(self) -> list[tuple[str, Finding]]:
        return self.findings


@pytest.fixture
async def services(pool: Pool) -> Services:
    return services_over(pool)


def services_over(pool: Pool) -> Services:
    return Services(ResourceRows(pool, list(workspace_resources()), lambda: [CURSOR_KEY]), Identities(pool))


@pytest.fixture
async def app(services: Services) -> Quart:
    return public_app(services)


@pytest.fixture
async def anonymous(app: Quart) -> QuartClient:
    return app.test_client()


class Client:
    """Quart's test client with one user's token on every request."""

    def __init__(self, app: Quart, token: str, user_id: str) -> None:
        self.raw = app.test_client()
        self.token = token
        self.user_id = user_id

    def __getattr__(self, method: str) -> Any:
        async def call(path: str, *, headers: Any = (), **options: Any) -> Any:
            sent = {"Authorization": f"Bearer {self.token}"} | dict(headers)
            return await getattr(self.raw, method)(path, headers=sent, **options)

        return call


async def client_for(app: Quart, identities: Identities, username: str) -> Client:
    account = await identities.add_user(username)
    token = await identities.create_token(username, name="test", expires_in=timedelta(hours=1))
    return Client(app, token.secret, str(account.id))


@pytest.fixture
async def ada(app: Quart, services: Services) -> Client:
    return await client_for(app, services.identities, "ada")


@pytest.fixture
async def bob(app: Quart, services: Services) -> Client:
    return await client_for(app, services.identities, "bob")


async def fill(postgres: DatabaseLocation, location: DatabaseLocation) -> None:
    """Make the database at ``location``, with its tables."""
    administration = await connect(postgres)
    await administration.execute(f"CREATE DATABASE {location.database}")
    await administration.close()
    connection = await connect(location)
    await migrate(connection, [CORE, *(one for one in workspace_migrations() if not one.needs_vector)])
    await connection.close()


class RoomyLimiter(MemoryLimiter):
    """For a client that asks without a token hundreds of times a minute on purpose."""

    async def take(self, key: str, rate: Rate) -> Decision:
        return await super().take(key, replace(rate, limit=rate.limit * 1000))


@dataclass
class Live:
    """The public application behind a real socket, and a user's token for it."""

    url: str
    token: str
    team_id: str


@pytest.fixture(scope="module")
def live(postgres: DatabaseLocation) -> Iterator[Live]:
    """Serve in a thread of its own, so that a client may block."""
    listener = Listener("public", "127.0.0.1", 0)
    bound = bind(listener)
    ready: Future[Live] = Future()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def serve_until_stopped() -> None:
        location = replace(postgres, database=f"live_{uuid4().hex}")
        await fill(postgres, location)
        async with open_pool(location) as pool:
            services = replace(services_over(pool), limiter=RoomyLimiter())
            await services.identities.add_user("ada")
            team = await services.identities.add_team("alpha")
            await services.identities.add_member("alpha", "ada")
            token = await services.identities.create_token("ada", name="fuzz", expires_in=timedelta(hours=1))
            address = f"http://127.0.0.1:{bound.getsockname()[1]}"
            ready.set_result(Live(address, token.secret, str(team.id)))
            await serve([Endpoint(listener, public_app(services), bound)], stop=stop, limits=Limits())

    thread = threading.Thread(target=loop.run_until_complete, args=[serve_until_stopped()], daemon=True)
    thread.start()
    yield ready.result(timeout=60)
    loop.call_soon_threadsafe(stop.set)
    thread.join(timeout=60)
