"""The kit for authors of plugins, as they use it."""

from __future__ import annotations

import subprocess
import sys

import httpx
import pytest

from mosaic_gateway.testing import GatewayWith, LiveGateway, live_gateway
from mosaic_hookspecs.errors import ConfigError


@pytest.fixture(scope="module")
def gateway(gateway_with: GatewayWith) -> LiveGateway:
    return gateway_with("workspace")


def test_it_serves_over_http_as_its_user(gateway: LiveGateway) -> None:
    assert gateway.client.post("/v1/tasks", json={"title": "Water the plants"}).status_code == 201
    assert gateway.client.get("/v1/me").json()["username"] == "lead"
    assert httpx.get(f"{gateway.url}/v1/tasks", timeout=60).status_code == 401


def test_another_user_sees_none_of_it(gateway: LiveGateway) -> None:
    gateway.client.post("/v1/notes", json={"title": "mine"})
    assert gateway.client_of("client").get("/v1/notes").json()["items"] == []


def test_commands_join_the_running_gateway(gateway: LiveGateway) -> None:
    assert "lead" in {user["username"] for user in gateway.mosaic_json("user", "list")}
    assert "already" in gateway.mosaic("user", "add", "lead", code=4)
    with pytest.raises(AssertionError, match=r"user nosuch exited with 2:\n(.*\n)*.*No such command"):
        gateway.mosaic("user", "nosuch")


async def test_it_may_be_used_where_a_loop_runs(gateway: LiveGateway) -> None:
    assert gateway.mosaic("user", "list")
    assert gateway.findings()["database"].status == "green"
    headers = {"Authorization": f"Bearer {gateway.token}"}
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=60) as client:
        assert (await client.get("/v1/me")).status_code == 200


def test_the_host_is_that_of_one_plugin(gateway: LiveGateway) -> None:
    async def database(host) -> str:
        return await host.database.fetchval("SELECT current_database()")

    assert gateway.ask("workspace", database) == gateway.location.database


def test_exactly_its_plugins_are_loaded(gateway: LiveGateway) -> None:
    states = {plugin["name"]: plugin["state"] for plugin in gateway.mosaic_json("plugins", "list")}
    assert {name for name, state in states.items() if state == "loaded"} == {"tier_local", "workspace"}


def test_a_second_one_has_its_own_rows_and_keys(gateway: LiveGateway, gateway_with: GatewayWith) -> None:
    other = gateway_with("workspace", name="other")
    assert other.client.get("/v1/tasks").json()["items"] == []
    assert httpx.get(f"{other.url}/v1/me", headers=gateway.client.headers, timeout=60).status_code == 401


def test_a_config_that_cannot_be_used_is_told_as_by_the_gateway() -> None:
    with (
        pytest.raises(ConfigError, match=r"plugins\.workspace\.colour"),
        live_gateway("workspace", config={"colour": "red"}),
    ):
        pass


def test_it_is_gone_when_left() -> None:
    with live_gateway(name="brief") as gateway:
        directory = gateway.config.parent.parent
        assert gateway.client.get("/healthz").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{gateway.url}/healthz", timeout=60)
    assert not directory.exists()


def test_pytest_loads_next_to_nothing_for_it() -> None:
    """It is loaded by every run of pytest in an environment that has it."""
    heavy = "click httpx pydantic quart hypercorn asyncpg cryptography dynaconf"
    code = f"import sys; import mosaic_gateway.testing.plugin; print([m for m in {heavy.split()} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_whatever_keeps_it_from_starting_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("mosaic_gateway.cli.start.serve_alone", broken)
    with pytest.raises(RuntimeError, match="broken"), live_gateway():
        pass
