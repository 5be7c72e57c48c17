"""Tasks and notes as users and peers meet them: in a running gateway, with the kit that other authors use."""

from __future__ import annotations

import pytest

from mosaic_gateway.testing import GatewayWith, LiveGateway, Pair, TwoGateways


@pytest.fixture(scope="module")
def pair(two_gateways: TwoGateways) -> Pair:
    """Work shares its tasks with home, and not its notes."""
    return two_gateways("workspace", resources=["tasks"])


@pytest.fixture(scope="module")
def gateway(gateway_with: GatewayWith) -> LiveGateway:
    return gateway_with("workspace")


def test_the_api_says_what_a_task_is(gateway: LiveGateway) -> None:
    described = gateway.client.get("/openapi.json").json()
    assert {"/v1/tasks", "/v1/notes", "/v1/tasks/search"} <= described["paths"].keys()


def test_a_task_is_made_changed_and_found(gateway: LiveGateway) -> None:
    made = gateway.client.post("/v1/tasks", json={"title": "Water the plants", "tags": ["home"]})
    assert made.status_code == 201, made.text
    path = f"/v1/tasks/{made.json()['id']}"
    done = gateway.client.patch(path, json={"status": "done"}, headers={"If-Match": made.headers["ETag"]})
    assert (done.status_code, done.json()["status"]) == (200, "done")
    found = gateway.client.get("/v1/tasks/search", params={"q": "plant"}).json()["items"]
    assert [row["id"] for row in found] == [made.json()["id"]]


def test_a_peer_reads_the_tasks_and_not_the_notes(pair: Pair) -> None:
    pair.work.client.post("/v1/tasks", json={"title": "Shared"})
    pair.work.client.post("/v1/notes", json={"title": "Ours"})
    assert [row["title"] for row in pair.read("tasks").json()["items"]] == ["Shared"]
    assert pair.read("notes").status_code == 404


def test_a_revoked_grant_ends_that(pair: Pair) -> None:
    pair.work.mosaic("federation", "grant", "revoke", pair.grant, "--reason", "test")
    assert pair.read("tasks").status_code == 403
