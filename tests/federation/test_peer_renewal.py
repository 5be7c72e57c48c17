"""Home's certificate for work is renewed while both serve, and whatever kills it on the way does not lock it out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

KILLED = """
import os, signal, sys
import mosaic_federation.renewing as renewing
from mosaic_gateway.cli.main import main
renewing._read = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
sys.argv[0] = "mosaic"
main()
"""


@pytest.fixture(scope="module")
def shared(gateways: Any) -> Iterator[str]:
    """Work shares a task as peer ``lasting``; the id of the grant."""
    home, work = gateways
    offer = work.offer()
    home.run("federation", "peer", "add", offer["url"], "--yes", "--name", "lasting")
    yield offer["id"]
    home.run("federation", "peer", "remove", "lasting")


def shown(home: Any) -> Any:
    return home.json("federation", "peer", "show", "lasting")


def test_by_hand_it_is_another_certificate_and_reading_goes_on(home: Any, work: Any, shared: str) -> None:
    before = shown(home)
    assert (before["renewed_at"], before["capabilities"]["renewal"]) == (None, True)
    assert before["capabilities"]["resources"] == ["tasks"]
    told = home.run("federation", "peer", "renew", "lasting")
    after = shown(home)
    assert after["serial"] != before["serial"]
    assert after["serial"] in told
    assert after["renewed_at"] is not None
    assert work.json("federation", "grant", "show", shared)["serial"] == after["serial"]
    with home.http() as client:  # the process that serves has connections with the old one
        assert client.get("/v1/peers/lasting/tasks").status_code == 200
    verbs = [row["verb"] for row in work.json("audit", "query", "--grant", shared)]
    assert "renew" in verbs


def test_over_http_it_is_another_certificate_too(home: Any, work: Any, shared: str) -> None:
    with home.http() as client:
        before = client.get("/v1/admin/peers/lasting").json()
        renewed = client.post("/v1/admin/peers/lasting/renew")
        assert renewed.status_code == 200, renewed.text
        after = renewed.json()
        assert after["serial"] != before["serial"]
        assert after["renewed_at"] != before["renewed_at"]
        assert "sealed_key" not in after
        assert client.get("/v1/peers/lasting/tasks").status_code == 200
    assert work.json("federation", "grant", "show", shared)["serial"] == after["serial"]


def test_killed_between_the_answer_and_keeping_it_it_goes_on(home: Any, work: Any, shared: str) -> None:
    before = shown(home)
    command = [sys.executable, "-c", KILLED, "--config", str(home.config)]
    killed = subprocess.run(
        [*command, "federation", "peer", "renew", "lasting"],
        capture_output=True,
        check=False,
        timeout=90,
        env=home.variables,
    )
    assert killed.returncode == -9, killed.stderr
    assert shown(home)["serial"] == before["serial"]
    with home.http() as client:
        assert client.get("/v1/peers/lasting/tasks").status_code == 200
    home.run("federation", "peer", "renew", "lasting")
    assert shown(home)["serial"] != before["serial"]


def test_a_revoked_grant_is_not_renewed(home: Any, work: Any, shared: str) -> None:
    before = shown(home)
    work.run("federation", "grant", "revoke", shared)
    assert "revoked" in home.run("federation", "peer", "renew", "lasting", code=4)
    with home.http() as client:
        refused = client.post("/v1/admin/peers/lasting/renew")
    assert (refused.status_code, "revoked" in refused.json()["detail"]) == (403, True)
    after = shown(home)
    assert (after["state"], after["serial"]) == ("refused", before["serial"])
