"""Each hook has an entry in docs/reference/hooks.md, with an example that works."""

from __future__ import annotations

import asyncio
import json
import runpy
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from uuid import UUID

import pluggy
import pytest
from pydantic import ValidationError
from quart import Quart

from mosaic_gateway.identity import Identities
from mosaic_gateway.resources import ResourceRows, discover
from mosaic_hookspecs import PROJECT, specs
from mosaic_hookspecs.errors import NotFound, Unavailable
from mosaic_hookspecs.sources import Asked
from mosaic_hookspecs.types import (
    AuditEvent,
    DatabaseLocation,
    GrantNotice,
    Job,
    PeerNotice,
    PeerRequest,
    Rate,
    User,
)

ROOT = Path(__file__).parents[2]
HOOKS: dict[str, Callable[..., Any]] = runpy.run_path(str(ROOT / "docs" / "generate.py"))["HOOKS"]
Call = Callable[..., Any]


@pytest.fixture
def host(tmp_path: Path) -> SimpleNamespace:
    """As much of a Host as the examples look at; it is data, and nothing of ours runs behind it."""
    return SimpleNamespace(gateway_name="home", data_dir=tmp_path)


@pytest.fixture
def call(host: SimpleNamespace) -> Call:
    """Register the example of a hook as pluggy would, call the hook, return its one answer."""

    def call(name: str, **facts: Any) -> Any:
        path = ROOT / "docs" / "examples" / "hooks" / f"{name}.py"
        module = ModuleType(f"example_{name}")
        exec(compile(path.read_text(), path, "exec", dont_inherit=True), vars(module))
        manager = pluggy.PluginManager(PROJECT)
        manager.add_hookspecs(specs)
        manager.register(module)
        manager.check_pending()
        wants_host = "host" in HOOKS[name].__code__.co_varnames
        (answer,) = getattr(manager.hook, name)(**({"host": host} if wants_host else {}), **facts)
        return answer

    return call


def test_mosaic_settings(call: Call) -> None:
    model = call("mosaic_settings")
    assert model(city="Oslo").every_minutes == 30
    with pytest.raises(ValidationError):
        model(city="Oslo", citty="Rome")


async def test_mosaic_lifespan(call: Call) -> None:
    lifespan = call("mosaic_lifespan")
    before = asyncio.all_tasks()
    async with lifespan:
        (task,) = asyncio.all_tasks() - before
    await asyncio.wait([task])
    assert task.cancelled()


def test_mosaic_tiers(call: Call) -> None:
    (tier,) = call("mosaic_tiers")
    assert tier.storage == "office_postgres"


async def test_mosaic_storages(call: Call) -> None:
    (storage,) = call("mosaic_storages")
    async with storage.open(serving=False) as location:
        assert isinstance(location, DatabaseLocation)


async def test_mosaic_queues(call: Call) -> None:
    (queue,) = call("mosaic_queues")
    seen: list[Any] = []

    async def note(data: Any) -> None:
        seen.append(data)

    async with queue.open(), queue.work([]):
        await queue.enqueue(Job("example.note", note), {"n": 1})
    assert seen == [{"n": 1}]
    assert await queue.failed() == []


async def test_mosaic_caches(call: Call) -> None:
    (cache,) = call("mosaic_caches")

    async def load() -> bytes:
        return b"one"

    async with cache.open(), cache.subscribe("news") as heard:
        assert await cache.get("a", load, ttl=60) == b"one"
        await cache.publish("news", "hello")
        assert await anext(heard) == "hello"


async def test_mosaic_limiters(call: Call) -> None:
    (limiter,) = call("mosaic_limiters")
    async with limiter.open():
        assert not (await limiter.take("a", Rate("any", limit=1, period=1))).allowed


async def test_mosaic_jobs(call: Call, host: SimpleNamespace) -> None:
    done: list[Any] = []

    async def execute(*statement: Any) -> None:
        done.append(statement[1:])

    host.database = SimpleNamespace(execute=execute)
    (job,) = call("mosaic_jobs")
    await job.run({"days": 30})
    assert (done, job.every) == ([(30,)], 86_400)


def test_mosaic_migrations(call: Call) -> None:
    (found,) = call("mosaic_migrations")
    assert found.component == "bookmarks"


def test_mosaic_sealed_columns(call: Call) -> None:
    [column] = call("mosaic_sealed_columns")
    assert column.place_of(7) == "weather_stations/7/password"


async def test_mosaic_discoveries(call: Call, pool: Any) -> None:
    [shop] = call("mosaic_discoveries")
    assert await shop.find(pool) == []
    await pool.execute(
        "CREATE SCHEMA shop; CREATE TABLE shop.orders (id uuid, customer text, placed_at timestamptz, title text);"
        "INSERT INTO users (username) VALUES ('lead');"
        "INSERT INTO shop.orders VALUES (gen_random_uuid(), 'lead', now(), 'Chairs'),"
        " (gen_random_uuid(), 'nobody', now(), 'Desks')"
    )
    async with pool.transaction() as sql:
        found = await discover(sql._target, [], [("shop", shop)])
    lead = await Identities(pool).user("lead")
    page = await ResourceRows(pool, found, lambda: [b"k" * 32]).list(lead, "orders", {})
    assert [item["title"] for item in json.loads(page.body)["items"]] == ["Chairs"]


def test_mosaic_resources(call: Call) -> None:
    (resource,) = call("mosaic_resources")
    assert resource.model(title="Docs", url="https://example.org").title == "Docs"


async def test_mosaic_sources(call: Call) -> None:
    (kind,) = call("mosaic_sources")
    (source,) = await kind.readable_by(User(UUID(int=1), "lead"))
    page = await source.search("notes", {"q": "barn"}, Asked(within=60))
    assert [row["id"] for row in page.items] == ["may"]
    with pytest.raises(NotFound):
        await source.list("tasks", {}, Asked(within=60))


async def test_mosaic_probes(call: Call) -> None:
    (probe,) = call("mosaic_probes")
    finding = await probe.check()
    assert finding.status in ("green", "yellow")


def test_mosaic_listeners(call: Call) -> None:
    (listener,) = call("mosaic_listeners")
    assert (listener.name, listener.tls) == ("metrics", None)


async def test_mosaic_routes(call: Call) -> None:
    (mount,) = call("mosaic_routes")
    app = Quart("example")
    app.register_blueprint(mount.blueprint)
    answer = await app.test_client().get("/hello")
    assert await answer.get_json() == {"from": "home"}


async def test_mosaic_authorities(call: Call, host: SimpleNamespace) -> None:
    (authority,) = call("mosaic_authorities")
    (host.data_dir / "root.pem").write_bytes(b"PEM")
    assert await authority.root() == b"PEM"
    with pytest.raises(Unavailable):
        await authority.issue_server(b"", names=["home"])


async def test_mosaic_embedders(call: Call) -> None:
    (embedder,) = call("mosaic_embedders")
    oats, toast, sky = await embedder.embed(["oats", "toast", "Sky"], kind="row")
    assert len(oats) == embedder.dimensions
    near, far = (sum(a * b for a, b in zip(oats, other, strict=True)) for other in (toast, sky))
    assert near > embedder.similarity > far


async def test_mosaic_audit_sinks(call: Call, host: SimpleNamespace) -> None:
    (sink,) = call("mosaic_audit_sinks")
    event = AuditEvent("work", UUID(int=1), None, "1f", "list", "tasks", "00", "ok", 2, 300, 900, "r1")
    await sink.record(event)
    assert json.loads((host.data_dir / "answers.ndjson").read_text())["rows"] == 2
    host.data_dir.joinpath("answers.ndjson").unlink()
    host.data_dir.joinpath("answers.ndjson").mkdir()
    with pytest.raises(Unavailable):
        await sink.record(event)


async def test_mosaic_peer_policies(call: Call, host: SimpleNamespace) -> None:
    host.settings = lambda model: model()
    hours, networks = call("mosaic_peer_policies")
    open_, closed = datetime(2027, 1, 4, 9, tzinfo=UTC), datetime(2027, 1, 2, 9, tzinfo=UTC)
    ids = (UUID(int=1), UUID(int=2))
    for address, at, expected in (
        ("192.0.2.7", open_, (True, True)),
        ("2001:db8:1::", closed, (False, True)),
        ("198.51.100.1", open_, (True, False)),
        ("unknown", open_, (True, False)),
    ):
        request = PeerRequest("partner", *ids, "list", "tasks", address, at)
        verdicts = [await hours.decide(request), await networks.decide(request)]
        assert tuple(verdict.allowed for verdict in verdicts) == expected
        assert all(verdict.reason for verdict in verdicts if not verdict.allowed)


@pytest.mark.parametrize("hook", ["mosaic_peer_enrolled", "mosaic_peer_revoked"])
async def test_mosaic_peer_enrolled(call: Call, host: SimpleNamespace, hook: str) -> None:
    done: list[Any] = []

    async def execute(*statement: Any) -> None:
        done.append(statement[1])

    host.database = SimpleNamespace(execute=execute)
    await call(hook, peer=PeerNotice("partner", "Partner", UUID(int=1), UUID(int=2), "1f"))
    assert done == ["partner"]


test_mosaic_peer_revoked = test_mosaic_peer_enrolled


async def test_mosaic_grant_changed(call: Call) -> None:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def chat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        heard.set_result(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 204 \r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(chat, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        telling = call(
            "mosaic_grant_changed", grant=GrantNotice(UUID(int=1), UUID(int=2), "partner", "revoked", 3, None)
        )
        telling.cr_frame.f_globals["CHAT"] = f"http://127.0.0.1:{port}/"
        await telling
    assert "revoked, now at version 3" in json.loads(await heard)["text"]


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_has_an_entry_and_an_example_that_a_test_runs(name: str) -> None:
    assert f"\n## {name}\n" in (ROOT / "docs" / "reference" / "hooks.md").read_text()
    assert f"test_{name}" in globals(), "its example is not run here"
