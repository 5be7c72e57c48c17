"""What admins script over HTTP, between two real gateways: grant, enroll, test, renew, revoke, remove."""

from __future__ import annotations

from typing import Any

import pytest

from asked_again import ask_until
from mosaic_gateway.sealing import KeyFile


@pytest.fixture
def shared(gateways: Any) -> Any:
    """A grant of work that home has enrolled with as ``scripted``, all over HTTP."""
    home, work = gateways
    task = work.add("tasks", title="sharpen spade")
    wanted = {
        "subject": "admin",
        "peer": "home",
        "scope": {"resources": ["tasks"], "include_personal": True},
    }
    with work.http() as at_work, home.http() as at_home:
        grant = at_work.post("/v1/admin/grants", json=wanted)
        assert grant.status_code == 201, grant.text
        offer = grant.json()
        added = at_home.post("/v1/admin/peers", json=body(offer["url"], name="scripted"))
        assert added.status_code == 201, added.text
        assert added.headers["Location"] == "/v1/admin/peers/scripted"
        yield {"grant": offer, "peer": added.json(), "task": task, "home": at_home, "work": at_work}
        at_home.delete("/v1/admin/peers/scripted")


def body(url: str, **more: str) -> dict[str, str]:
    return {"url": url, "expect_fingerprint": url.partition("#ca=")[2], **more}


def test_from_grant_to_removal(gateways: Any, shared: Any) -> None:
    at_home, at_work, grant = shared["home"], shared["work"], shared["grant"]
    assert (shared["peer"]["state"], shared["peer"]["added_by"]) == ("active", "user:admin")
    assert "sealed_key" not in shared["peer"]
    assert at_home.get(f"/v1/peers/scripted/tasks/{shared['task']}").json()["title"] == "sharpen spade"

    tested = at_home.post("/v1/admin/peers/scripted/test").json()
    assert {check["status"] for check in tested["checks"]} <= {"green", "yellow"}
    assert "scripted" in {peer["name"] for peer in at_home.get("/v1/admin/peers").json()["items"]}
    assert at_home.get("/v1/admin/peers/scripted").json()["serial"] == shared["peer"]["serial"]

    spent = at_home.post("/v1/admin/peers", json=body(grant["url"], name="second"))
    assert spent.status_code in {409, 410, 422}  # it is the grant of a peer we have, and its URL is spent
    path = f"/v1/admin/grants/{grant['id']}"
    at_work.post(f"{path}/release")  # where the replay has put it under quarantine
    again = at_work.post(f"{path}/reissue")
    assert again.status_code == 200, again.text
    renewed = at_home.post("/v1/admin/peers", json=body(again.json()["url"]))
    assert renewed.status_code == 201, renewed.text
    assert renewed.json()["name"] == "scripted"
    assert renewed.json()["serial"] != shared["peer"]["serial"]
    assert at_home.get("/v1/peers/scripted/tasks").status_code == 200

    assert at_work.post(f"{path}/revoke", json={"reason": "the end"}).json()["status"] == "revoked"
    assert "revoked" in ask_until(at_home, "/v1/peers/scripted/tasks", 403).json()["detail"]
    checks = at_home.post("/v1/admin/peers/scripted/test").json()["checks"]
    assert checks[-1]["status"] == "red"
    assert at_home.delete("/v1/admin/peers/scripted").status_code == 204
    assert at_home.get("/v1/admin/peers/scripted").status_code == 404


def test_a_running_gateway_seals_with_a_key_made_meanwhile(gateways: Any, shared: Any) -> None:
    home, _ = gateways
    report = home.json("secrets", "rotate")
    assert not report["faults"]
    again = shared["work"].post(f"/v1/admin/grants/{shared['grant']['id']}/reissue").json()
    assert shared["home"].post("/v1/admin/peers", json=body(again["url"])).status_code == 201
    counts = {key["key"]: key["envelopes"] for key in home.json("secrets", "status")["keys"]}
    assert counts.pop(report["key"]) >= 1
    assert set(counts.values()) <= {0}
    assert KeyFile(home.directory / "data" / "keys.json").read().active == report["key"]


def test_tokens_of_enrollment_urls_are_in_no_log(gateways: Any, shared: Any) -> None:
    token = shared["grant"]["url"].partition("#")[0].rpartition("/")[2]
    for gateway in gateways:
        assert token not in gateway.log.read_text()
